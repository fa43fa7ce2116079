//! Operations of engines that a setup names.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use larder_engine::{EngineError, Operation, Worker};

use super::Turn;
use crate::shared::Setup;

/// An operation that was started by the routes of a setup. Until it has ended, also after its client left, somebody holds
/// that setup: a reload that replaced it knows by this that a write may still reach the store past the new engines.
pub(crate) struct UnderWay<T: 'static> {
    /// `None` once it has ended.
    running: Option<(Operation<T>, Arc<Setup>)>,
    worker: Worker,
}

impl<T: 'static> UnderWay<T> {
    pub(crate) fn new(turn: &Turn<'_>, operation: Operation<T>) -> Self {
        let setup = turn.state.setup_of_this_turn();
        debug_assert!(std::ptr::eq(turn.routes, &raw const setup.routes), "a turn has one setup");
        UnderWay { running: Some((operation, setup)), worker: turn.state.worker.clone() }
    }
}

impl<T: 'static> Future for UnderWay<T> {
    type Output = Result<T, EngineError>;

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let (operation, _) = self.running.as_mut().expect("an operation is not polled after its answer");
        let answer = std::task::ready!(Pin::new(operation).poll(task));
        self.running = None;
        Poll::Ready(answer)
    }
}

impl<T: 'static> Drop for UnderWay<T> {
    fn drop(&mut self) {
        let Some((operation, setup)) = self.running.take() else { return };
        self.worker.spawn(async move {
            // Nobody is left to hear of the outcome.
            drop(operation.await);
            drop(setup);
        });
    }
}
