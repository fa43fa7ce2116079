//! Replies that must wait, kept in the order of their requests.
//!
//! The queue is empty as long as engines answer at once. Once a reply is pending, the replies behind it collect here;
//! requests on other keys go on, a request on a key that is busy is parked until its turn.

use std::collections::VecDeque;
use std::task::{Context as TaskContext, Poll};

use hashbrown::HashMap;
use larder_engine::Writer;
use larder_protocol::OwnedRequest;
use tokio::sync::OwnedSemaphorePermit;

use super::output::Output;
use crate::command::{self, Fate, Group, Pending, Turn};

/// Replies a connection may have outstanding before it is not read any further.
pub(crate) const SLOTS_MAX: usize = 1024;

/// Look-ups a connection may have under way before it is not read any further: each may bring a value of any size.
const LOOK_UPS_MAX: usize = 64;

/// The interest of a request in a key.
#[derive(Clone, Copy)]
pub(crate) struct Claim {
    /// Hash of the key; two keys with one hash merely wait for each other.
    pub(crate) key_hash: u64,
    pub(crate) writes: bool,
}

pub(crate) enum Slot {
    /// Encoded, waiting for the replies before it.
    Done(Output),
    /// The engine has not answered yet.
    Waiting(Claim, Box<Pending>),
    /// Not yet executed: an earlier request on the key is under way.
    Parked(Claim, Box<Parked>),
    /// The end of a multi-get: what it says depends on the slots before it.
    End(Group),
}

pub(crate) struct Parked {
    pub(crate) request: OwnedRequest,
    pub(crate) writer: Option<Writer>,
    /// The share of the bytes in flight that a large value takes until its engine has answered.
    pub(crate) room: Option<OwnedSemaphorePermit>,
}

impl Parked {
    fn bytes(&self) -> usize {
        self.request.copied_bytes() + self.writer.as_ref().map_or(0, Writer::len)
    }
}

#[derive(Default)]
struct Busy {
    reads: u32,
    writes: u32,
}

#[derive(Default)]
pub(crate) struct Queue {
    slots: VecDeque<Slot>,
    busy: HashMap<u64, Busy, foldhash::fast::RandomState>,
    parked: usize,
    /// Look-ups under way.
    look_ups: usize,
    /// Bytes in all slots but the last, if that is one that still grows.
    settled_bytes: usize,
    /// What waits is a request without a key: nothing behind it is executed before it is done.
    is_barred: bool,
}

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.slots.len() >= SLOTS_MAX || self.look_ups >= LOOK_UPS_MAX
    }

    /// What is kept here, in bytes: answers that wait for others, requests that wait for their keys, values on their way
    /// to a store.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.settled_bytes + self.slots.back().map_or(0, growing_bytes)
    }

    /// Whether nothing may be executed before what waits is done.
    pub(crate) fn is_barred(&self) -> bool {
        self.is_barred
    }

    /// Whether a request with this claim must wait for one that is under way.
    pub(crate) fn conflicts(&self, claim: Claim) -> bool {
        self.busy.get(&claim.key_hash).is_some_and(|busy| busy.writes > 0 || (claim.writes && busy.reads > 0))
    }

    /// Where the next ready reply goes while the queue is not empty.
    pub(crate) fn tail(&mut self) -> &mut Output {
        if !matches!(self.slots.back(), Some(Slot::Done(_))) {
            self.push(Slot::Done(Output::default()));
        }
        match self.slots.back_mut() {
            Some(Slot::Done(output)) => output,
            _ => unreachable!("a done slot was just made sure of"),
        }
    }

    pub(crate) fn wait(&mut self, claim: Claim, pending: Pending) {
        self.claim(claim);
        self.begin(&pending);
        self.push(Slot::Waiting(claim, Box::new(pending)));
    }

    /// Waits for a request without a key, to which every key belongs.
    pub(crate) fn wait_for_all(&mut self, pending: Pending) {
        debug_assert!(self.is_empty(), "a barrier waits for what is before it");
        self.wait(Claim { key_hash: 0, writes: true }, pending);
        self.is_barred = true;
    }

    pub(crate) fn park(&mut self, claim: Claim, parked: Parked) {
        self.claim(claim);
        self.parked += 1;
        self.settled_bytes += parked.bytes();
        self.push(Slot::Parked(claim, Box::new(parked)));
    }

    pub(crate) fn end(&mut self, group: Group) {
        self.push(Slot::End(group));
    }

    /// Counts what is under way from now on.
    fn begin(&mut self, pending: &Pending) {
        self.look_ups += usize::from(pending.is_look_up());
        self.settled_bytes += pending.held_bytes();
    }

    /// Adds a slot; the one before it grows no more.
    fn push(&mut self, slot: Slot) {
        self.settled_bytes += self.slots.back().map_or(0, growing_bytes);
        self.slots.push_back(slot);
    }

    /// Puts an answer in the place of what was waited for.
    fn answered(&mut self, index: usize, reply: Output) {
        if index + 1 < self.slots.len() {
            self.settled_bytes += reply.unsent();
        }
        self.slots[index] = Slot::Done(reply);
    }

    fn claim(&mut self, claim: Claim) {
        let busy = self.busy.entry(claim.key_hash).or_default();
        if claim.writes {
            busy.writes += 1;
        } else {
            busy.reads += 1;
        }
    }

    fn release(&mut self, claim: Claim) {
        let busy = self.busy.get_mut(&claim.key_hash).expect("a claim is counted while its slot lives");
        if claim.writes {
            busy.writes -= 1;
        } else {
            busy.reads -= 1;
        }
        if busy.reads + busy.writes == 0 {
            self.busy.remove(&claim.key_hash);
        }
    }

    /// Polls what is pending, executes what was parked and is free now, and moves finished replies from the front
    /// to `output`. Whether anything happened; an error means the connection must be closed.
    pub(crate) fn advance(
        &mut self,
        task: &mut TaskContext<'_>,
        turn: &Turn<'_>,
        output: &mut Output,
    ) -> Result<bool, command::Close> {
        if self.slots.is_empty() {
            return Ok(false);
        }
        let mut released = false;
        for index in 0..self.slots.len() {
            let Slot::Waiting(claim, pending) = &mut self.slots[index] else { continue };
            let claim = *claim;
            let mut reply = Output::default();
            match pending.poll(task, turn, &mut reply) {
                Poll::Pending => {}
                Poll::Ready(Fate::Close) => return Err(command::Close),
                Poll::Ready(Fate::Answered) => {
                    self.look_ups -= usize::from(pending.is_look_up());
                    self.settled_bytes -= pending.held_bytes();
                    self.answered(index, reply);
                    self.release(claim);
                    // A barrier is alone in the queue.
                    self.is_barred = false;
                    released = true;
                }
            }
        }
        if released && self.parked > 0 {
            self.unpark(task, turn)?;
        }
        self.move_finished(output);
        Ok(released)
    }

    /// Executes parked requests, each once no earlier slot is busy with its key.
    fn unpark(&mut self, task: &mut TaskContext<'_>, turn: &Turn<'_>) -> Result<(), command::Close> {
        let mut seen: HashMap<u64, Busy, foldhash::fast::RandomState> = HashMap::default();
        for index in 0..self.slots.len() {
            let claim = match &self.slots[index] {
                Slot::Waiting(claim, _) => *claim,
                Slot::Parked(claim, _) => {
                    let claim = *claim;
                    let before = seen.entry(claim.key_hash).or_default();
                    let is_free = before.writes == 0 && !(claim.writes && before.reads > 0);
                    if is_free && self.execute_parked(index, claim, task, turn)? {
                        continue;
                    }
                    claim
                }
                Slot::Done(_) | Slot::End(_) => continue,
            };
            let before = seen.entry(claim.key_hash).or_default();
            if claim.writes {
                before.writes += 1;
            } else {
                before.reads += 1;
            }
        }
        Ok(())
    }

    /// Executes the parked request at `index`; whether it is done with.
    fn execute_parked(
        &mut self,
        index: usize,
        claim: Claim,
        task: &mut TaskContext<'_>,
        turn: &Turn<'_>,
    ) -> Result<bool, command::Close> {
        let placeholder = Slot::Done(Output::default());
        let Slot::Parked(_, parked) = std::mem::replace(&mut self.slots[index], placeholder) else {
            unreachable!("only called for a parked slot")
        };
        self.parked -= 1;
        self.settled_bytes -= parked.bytes();
        let mut reply = Output::default();
        let Parked { request, writer, room } = *parked;
        match command::execute(turn, &request.borrow(), writer, &mut reply)? {
            None => {
                self.answered(index, reply);
                self.release(claim);
                Ok(true)
            }
            Some(pending) => {
                let mut pending = pending.holding(room);
                // Polled once now, so that its waker is known.
                match pending.poll(task, turn, &mut reply) {
                    Poll::Ready(Fate::Close) => Err(command::Close),
                    Poll::Ready(Fate::Answered) => {
                        self.answered(index, reply);
                        self.release(claim);
                        Ok(true)
                    }
                    Poll::Pending => {
                        self.begin(&pending);
                        self.slots[index] = Slot::Waiting(claim, Box::new(pending));
                        Ok(false)
                    }
                }
            }
        }
    }

    fn move_finished(&mut self, output: &mut Output) {
        loop {
            match self.slots.front() {
                Some(Slot::Done(_)) => {
                    if let Some(Slot::Done(reply)) = self.slots.pop_front() {
                        if !self.slots.is_empty() {
                            self.settled_bytes -= reply.unsent();
                        }
                        output.append(reply);
                    }
                }
                Some(Slot::End(_)) => {
                    if let Some(Slot::End(group)) = self.slots.pop_front() {
                        group.end(output);
                    }
                }
                _ => return,
            }
        }
    }
}

/// What is in the last slot, if more answers may follow there.
fn growing_bytes(last: &Slot) -> usize {
    match last {
        Slot::Done(output) => output.unsent(),
        Slot::Waiting(..) | Slot::Parked(..) | Slot::End(_) => 0,
    }
}
