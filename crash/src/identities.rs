//! CAS values over all keys: one counter gives them all, so none comes twice and none goes back over a restart.

use std::collections::HashMap;

use crate::operation::{Operation, Outcome};

/// What CAS values a data folder has given.
#[derive(Debug, Default)]
pub struct Identities {
    /// The highest before the last start.
    highest_before: u64,
    /// The highest so far.
    highest: u64,
    /// Which key had a CAS since the last start.
    keys: HashMap<u64, usize>,
}

impl Identities {
    /// Takes note of an operation on the key at `key`.
    ///
    /// # Errors
    /// What is wrong with its CAS, in words.
    pub fn note(&mut self, key: usize, operation: &Operation) -> Result<(), String> {
        let Some((_, outcome)) = &operation.answered else { return Ok(()) };
        let Some(cas) = outcome.cas() else { return Ok(()) };
        self.highest = self.highest.max(cas);
        let is_new = matches!(outcome, Outcome::Stored { .. } | Outcome::Number { .. });
        if is_new && cas <= self.highest_before {
            return Err(format!(
                "a CAS went back over a restart: {cas}, but {} was given before: {operation}",
                self.highest_before
            ));
        }
        match self.keys.insert(cas, key) {
            Some(other) if other != key => Err(format!("two keys have the CAS {cas}: {operation}")),
            _ => Ok(()),
        }
    }

    /// The server was started anew.
    pub fn restart(&mut self) {
        self.highest_before = self.highest;
        self.keys.clear();
    }
}
