//! Minimal cost-complexity pruning (Breiman and others, 1984, chapter 3).

use super::{Node, Tree};

impl Tree {
    /// Keeps the smallest subtree that minimises R(T) + alpha * leaves, R being the leaves' impurity weighted by their
    /// share of the rows. It is found bottom up: a node becomes a leaf where that costs no more than the best of its
    /// branches together, which gives the same tree as cutting weakest links up to `alpha` (theorem 3.10).
    pub(super) fn prune(&mut self, alpha: f64) {
        let total = self.nodes[0].weight;
        let mut costs = vec![0.0; self.nodes.len()];
        // Children stand behind their parents.
        for (index, node) in self.nodes.iter_mut().enumerate().rev() {
            let as_leaf = node.impurity * node.weight / total + alpha;
            costs[index] = match node.split {
                Some(split) if costs[split.left] + costs[split.right] < as_leaf => {
                    costs[split.left] + costs[split.right]
                }
                _ => {
                    node.split = None;
                    as_leaf
                }
            };
        }

        let old = std::mem::take(&mut self.nodes);
        let old_shares = std::mem::take(&mut self.shares);
        let mut pending: Vec<(usize, Option<usize>)> = vec![(0, None)];
        while let Some((from, right_of)) = pending.pop() {
            let index = self.nodes.len();
            if let Some(split) = right_of.and_then(|parent: usize| self.nodes[parent].split.as_mut()) {
                split.right = index;
            }
            let mut node: Node = old[from];
            self.shares.extend(old_shares.get(from * self.outputs..(from + 1) * self.outputs).unwrap_or_default());
            if let Some(split) = &mut node.split {
                pending.push((split.right, Some(index)));
                pending.push((split.left, None));
                split.left = index + 1;
            }
            self.nodes.push(node);
        }
    }
}
