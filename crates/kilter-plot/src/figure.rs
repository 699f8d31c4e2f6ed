//! A figure: traces and a layout, as Plotly reads them.

use serde_json::{Value, json};

/// A figure in Plotly's JSON: `{"data": […], "layout": {…}}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    data: Vec<Value>,
    layout: Value,
}

impl Figure {
    pub(crate) fn new(title: &str, x: &str, y: &str, data: Vec<Value>) -> Self {
        let layout = json!({
            "title": { "text": title },
            "xaxis": { "title": { "text": x } },
            "yaxis": { "title": { "text": y } },
        });
        Self { data, layout }
    }

    /// The same figure with further words of layout.
    pub(crate) fn with(mut self, key: &str, value: Value) -> Self {
        if let Value::Object(layout) = &mut self.layout {
            match (layout.get_mut(key), value) {
                (Some(Value::Object(old)), Value::Object(new)) => old.extend(new),
                (_, value) => {
                    layout.insert(key.to_owned(), value);
                }
            }
        }
        self
    }

    /// As JSON.
    pub fn json(&self) -> Value {
        json!({ "data": self.data, "layout": self.layout })
    }
}

/// A number as JSON has it: nothing for NaN and infinities.
pub(crate) fn number(value: f64) -> Value {
    serde_json::Number::from_f64(value).map_or(Value::Null, Value::Number)
}

/// Numbers, likewise.
pub(crate) fn numbers(values: impl IntoIterator<Item = f64>) -> Value {
    Value::Array(values.into_iter().map(number).collect())
}
