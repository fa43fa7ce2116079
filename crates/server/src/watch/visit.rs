//! Connections that come and go.

use std::rc::Rc;

use larder_protocol::{LogCloseReason, LogEvent, LogPeer};

use super::Streams;
use crate::worker::WorkerState;

/// A client's stay, from when it is accepted until this is dropped. Those who watch hear of both.
pub(crate) struct Visit {
    state: Rc<WorkerState>,
    peer: LogPeer,
    socket: i32,
    /// Why it ends, if it ended now.
    pub(crate) reason: LogCloseReason,
}

impl Visit {
    pub(crate) fn begin(state: &Rc<WorkerState>, peer: LogPeer, socket: i32) -> Visit {
        let visit = Visit { state: state.clone(), peer, socket, reason: LogCloseReason::Normal };
        visit.tell(|peer, socket| LogEvent::ConnectionNew { peer, socket });
        visit
    }

    fn tell(&self, event: impl FnOnce(LogPeer, i32) -> LogEvent<'static>) {
        let watchers = &self.state.shared.watchers;
        if watchers.wanted().intersects(Streams::CONNECTIONS) {
            watchers.tell(Streams::CONNECTIONS, &event(self.peer, self.socket));
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let reason = self.reason;
        self.tell(|peer, socket| LogEvent::ConnectionClose { peer, reason, socket });
    }
}
