//! How far a long piece of work has got.

/// A step of checking or copying a store, for a progress bar.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// What is being done, such as `reading items`.
    pub step: &'static str,
    /// How much of it.
    pub done: u64,
    /// Of how much; 0: not known.
    pub total: u64,
}

/// Takes progress. Called often; cheap calls only.
pub type OnProgress<'p> = &'p mut dyn FnMut(Progress);
