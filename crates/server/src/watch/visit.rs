//! Connections that come and go.

use std::rc::Rc;

use larder_protocol::{LogCloseReason, LogEvent, LogPeer};

use super::Streams;
use crate::worker::WorkerState;

/// A client's stay, from when it is accepted until this is dropped. Those who watch hear of both.
pub(crate) struct Visit {
    state: Rc<WorkerState>,
    /// `None`: nobody is told.
    peer: Option<LogPeer>,
    socket: i32,
    /// Why it ends, if it ended now.
    pub(crate) reason: LogCloseReason,
}

impl Visit {
    pub(crate) fn begin(state: &Rc<WorkerState>, peer: LogPeer, socket: i32) -> Visit {
        let mut visit = Visit::unseen(state, socket);
        visit.peer = Some(peer);
        visit.tell(|peer, socket| LogEvent::ConnectionNew { peer, socket });
        visit
    }

    /// A stay nobody hears of.
    pub(crate) fn unseen(state: &Rc<WorkerState>, socket: i32) -> Visit {
        Visit { state: state.clone(), peer: None, socket, reason: LogCloseReason::Normal }
    }

    fn tell(&self, event: impl FnOnce(LogPeer, i32) -> LogEvent<'static>) {
        let watchers = &self.state.shared.watchers;
        if let Some(peer) = self.peer
            && watchers.wanted().intersects(Streams::CONNECTIONS)
        {
            watchers.tell(Streams::CONNECTIONS, &event(peer, self.socket));
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let reason = self.reason;
        self.tell(|peer, socket| LogEvent::ConnectionClose { peer, reason, socket });
    }
}
