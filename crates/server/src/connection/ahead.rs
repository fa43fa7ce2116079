//! Memory for requests that wait in the input, fetched before they are executed.

use larder_engine::{Coming, Key};
use larder_protocol::{Protocol, skim};

use crate::router::Routes;

/// Requests that are looked ahead to at a time.
const GROUP_REQUESTS: usize = 16;

/// How far into an input has been looked ahead.
#[derive(Default)]
pub(super) struct Ahead {
    end: usize,
}

impl Ahead {
    /// Call before the request at `done` is executed. Where several wait, the engine of the first is told what it will be asked for.
    #[inline]
    pub(super) fn look(&mut self, protocol: Option<Protocol>, input: &[u8], done: usize, routes: &Routes) {
        if done < self.end {
            return;
        }
        let Some(protocol) = protocol else { return };
        match skim(protocol, &input[done..]) {
            // The common case of a client that waits for each answer.
            None => self.end = done + 1,
            Some(first) if done + first.end >= input.len() => self.end = input.len(),
            Some(_) => self.look_far(protocol, input, done, routes),
        }
    }

    fn look_far(&mut self, protocol: Protocol, input: &[u8], done: usize, routes: &Routes) {
        let mut keys = [Key::new(b"-"); GROUP_REQUESTS];
        let mut count = 0;
        let mut stack = None;
        let mut coming = Coming::Sets;
        self.end = done;
        while count < GROUP_REQUESTS
            && let Some(skimmed) = input.get(self.end..).and_then(|rest| skim(protocol, rest))
        {
            self.end += skimmed.end;
            if let Some((its_stack, key)) = routes.route(skimmed.key)
                && std::ptr::eq(*stack.get_or_insert(its_stack), its_stack)
            {
                keys[count] = key;
                if !skimmed.sets {
                    coming = Coming::Anything;
                }
                count += 1;
            }
        }
        if let Some(stack) = stack {
            stack.engine.prefetch(&keys[..count], coming);
        }
    }
}
