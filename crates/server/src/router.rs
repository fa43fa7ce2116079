//! Which stack a key belongs to: the longest configured prefix decides.

use std::sync::Arc;

use hashbrown::HashMap;
use larder_engine::{Description, Engine, Key};

/// One engine stack, ready to serve.
pub struct Stack {
    /// Its store expression, for statistics.
    pub expression: String,
    /// The engine on top.
    pub engine: Arc<dyn Engine>,
    /// What the engine said of itself.
    pub description: Description,
}

impl Stack {
    /// A stack as `expression` describes it.
    pub fn new(expression: impl Into<String>, engine: Arc<dyn Engine>) -> Self {
        let description = engine.describe();
        Stack { expression: expression.into(), engine, description }
    }
}

/// A routing table: prefixes to stacks. Never changes; a reload swaps the whole table.
pub struct Routes {
    stacks: Vec<Arc<Stack>>,
    by_prefix: HashMap<Box<[u8]>, usize, foldhash::fast::RandomState>,
    /// Lengths that occur, longest first.
    lengths: Vec<usize>,
    /// The stack of the empty prefix when there is no other: the common case.
    only: Option<usize>,
}

impl Routes {
    /// A table of prefixes and stacks. A prefix given twice is a mistake the caller has refused already.
    pub fn new(prefixes: impl IntoIterator<Item = (Box<[u8]>, Arc<Stack>)>) -> Self {
        let mut routes =
            Routes { stacks: Vec::new(), by_prefix: HashMap::default(), lengths: Vec::new(), only: None };
        for (prefix, stack) in prefixes {
            let known = routes.stacks.iter().position(|other| Arc::ptr_eq(other, &stack));
            let index = known.unwrap_or_else(|| {
                routes.stacks.push(stack);
                routes.stacks.len() - 1
            });
            if !routes.lengths.contains(&prefix.len()) {
                routes.lengths.push(prefix.len());
            }
            routes.by_prefix.insert(prefix, index);
        }
        routes.lengths.sort_unstable_by(|left, right| right.cmp(left));
        routes.only = (routes.lengths == [0]).then(|| routes.by_prefix[&[][..]]);
        routes
    }

    /// The stack for a key, and the key with its prefix marked; `None` if no prefix matches.
    #[inline]
    pub fn route<'k>(&self, key: &'k [u8]) -> Option<(&Arc<Stack>, Key<'k>)> {
        if let Some(only) = self.only {
            return Some((&self.stacks[only], Key::new(key)));
        }
        for &length in &self.lengths {
            if let Some(index) = key.get(..length).and_then(|prefix| self.by_prefix.get(prefix)) {
                return Some((&self.stacks[*index], Key::routed(key, length)));
            }
        }
        None
    }

    /// The stacks, each once.
    pub fn stacks(&self) -> &[Arc<Stack>] {
        &self.stacks
    }

    /// Prefix and stack of each route, in no order.
    pub fn prefixes(&self) -> impl Iterator<Item = (&[u8], &Arc<Stack>)> {
        self.by_prefix.iter().map(|(prefix, index)| (&prefix[..], &self.stacks[*index]))
    }
}
