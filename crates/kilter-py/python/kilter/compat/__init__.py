"""Other libraries' interfaces, over kilter."""
