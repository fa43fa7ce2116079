//! touch and get-and-touch, which C's interface has only as packets of the binary protocol.

use larder_engine::engine::RawResponse;
use larder_engine::{
    Context, EngineError, ErrorKind, Expiry, Get, GetReply, Item, Key, Operation, Reply, Touched,
};

use crate::engine::{LEVEL, ModuleEngine, unsupported};
use crate::port::{Port, Read, exptime};
use crate::raw::block::Counter;
use crate::raw::module::KeyBuffer;
use crate::session::{self, begin, turn};

const OPCODE_TOUCH: u8 = 0x1c;
const OPCODE_GET_AND_TOUCH: u8 = 0x1d;

const STATUS_SUCCESS: u16 = 0x00;
const STATUS_NOT_FOUND: u16 = 0x01;

/// A look-up that changes the item.
pub(crate) fn get(engine: &ModuleEngine, context: &Context<'_>, key: Key<'_>, get: &Get) -> GetReply {
    let Some(expiry) = get.touch.filter(|_| get.vivify.is_none() && get.recache_below.is_none()) else {
        return Reply::failed(unsupported("a look-up that creates the item or hands out its refill"));
    };
    let port = Port { module: engine.module, cookie: session::cookie(engine.module, context) };
    let key = KeyBuffer::new(key.bytes());
    let number = port.cookie.take_number();
    let reply = begin(port.module, context, async move {
        let _turn = turn(port.cookie, number).await;
        let miss = [Counter::CmdGet, Counter::CmdTouch, Counter::GetMisses, Counter::TouchMisses];
        let Some(before) = port.read(&key, false).await? else {
            port.count(&miss);
            return Ok(None);
        };
        let response = ask(port, OPCODE_GET_AND_TOUCH, &key, expiry).await?;
        let hit = [Counter::CmdGet, Counter::CmdTouch, Counter::GetHits, Counter::TouchHits];
        port.count(if response.is_some() { &hit } else { &miss });
        Ok(response.map(|response| touched_item(before, response, expiry)))
    });
    match reply {
        Reply::Pending(operation) => Reply::Pending(operation),
        // The value is an owned one in either case.
        Reply::Ready(answer) => Reply::Pending(Operation::waiting(std::future::ready(answer))),
    }
}

/// What the response says of the item, and what only the item read before says.
fn touched_item(before: Read, response: RawResponse, expiry: Expiry) -> Item {
    let mut found = before.found;
    found.expiry_before = before.found.expiry;
    found.expiry = expiry;
    if response.cas != 0 {
        found.cas = response.cas;
    }
    if let Ok(flags) = response.extras[..].try_into() {
        found.flags = u32::from_be_bytes(flags);
    }
    Item { found, value: bytes::Bytes::from(response.body).into() }
}

/// A touch command.
pub(crate) fn touch(context: &Context<'_>, port: Port, key: Key<'_>, expiry: Expiry) -> Reply<Touched> {
    let key = KeyBuffer::new(key.bytes());
    let number = port.cookie.take_number();
    begin(port.module, context, async move {
        let _turn = turn(port.cookie, number).await;
        let answer = touch_now(port, &key, expiry).await;
        let miss = [Counter::CmdTouch, Counter::TouchMisses];
        port.count_found(&answer, &[Counter::CmdTouch, Counter::TouchHits], &miss);
        answer
    })
}

async fn touch_now(port: Port, key: &KeyBuffer, expiry: Expiry) -> Result<Touched, EngineError> {
    // The response need not have flags and CAS, and what was touched may be gone the next moment.
    let before = port.describe(key, false).await?.ok_or(ErrorKind::NotFound)?.0;
    let response = ask(port, OPCODE_TOUCH, key, expiry).await?.ok_or(ErrorKind::NotFound)?;
    let cas = if response.cas == 0 { before.cas } else { response.cas };
    Ok(Touched { cas, flags: before.flags, level: LEVEL, version: 0 })
}

/// Sends a packet with an expiry and a key; `None` if there is no such key.
async fn ask(
    port: Port,
    opcode: u8,
    key: &KeyBuffer,
    expiry: Expiry,
) -> Result<Option<RawResponse>, EngineError> {
    let request = packet(opcode, key.bytes(), exptime(port.module, expiry));
    let response = match port.ask(request).await {
        Ok(responses) => responses.into_iter().next(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match response {
        Some(response) if response.status == STATUS_SUCCESS => Ok(Some(response)),
        Some(response) if response.status == STATUS_NOT_FOUND => Ok(None),
        Some(response) => Err(status_error(response.status)),
        None => Err(port.breach("unknown_command: touch was answered with success, but without a response")),
    }
}

/// A request of the binary protocol.
fn packet(opcode: u8, key: &[u8], exptime: u32) -> Vec<u8> {
    let extras = exptime.to_be_bytes();
    let mut packet = Vec::with_capacity(24 + extras.len() + key.len() + 1);
    packet.extend([0x80, opcode]);
    packet.extend((key.len() as u16).to_be_bytes());
    packet.extend([extras.len() as u8, 0, 0, 0]);
    packet.extend(((extras.len() + key.len()) as u32).to_be_bytes());
    packet.extend([0; 12]);
    packet.extend(extras);
    packet.extend(key);
    packet
}

/// What a status of the binary protocol other than those two means.
fn status_error(status: u16) -> EngineError {
    let kind = match status {
        0x02 => ErrorKind::Exists,
        0x03 => ErrorKind::TooLarge,
        0x04 => ErrorKind::BadArgument,
        0x05 => ErrorKind::NotStored,
        0x06 => ErrorKind::NotNumeric,
        0x81 | 0x83 => ErrorKind::Unsupported,
        0x82 => ErrorKind::OutOfMemory,
        0x85 | 0x86 => ErrorKind::TryAgain,
        status => ErrorKind::Foreign(status.into()),
    };
    kind.into()
}
