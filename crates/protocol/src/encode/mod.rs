//! Replies in, bytes out.

use crate::{Form, Response};

/// Appends the answer to `out`, spelled in `form`; or nothing, where the form asks for silence.
///
/// Returns whether the value of a hit belongs to the answer. Only for a hit with
/// [`Value::Detached`](crate::Value::Detached) need the caller look: if `true`, it sends the value next and then
/// what [`encode_after_value`] appends. Never allocates but to grow `out`.
pub fn encode(form: &Form<'_>, response: &Response<'_>, out: &mut Vec<u8>) -> bool {
    let _ = (form, response, out);
    unimplemented!()
}

/// Appends what follows a detached value: CRLF in text and meta, nothing in binary.
pub fn encode_after_value(form: &Form<'_>, out: &mut Vec<u8>) {
    if !matches!(form, Form::Binary(_)) {
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends what a connection above the limit is told before it is closed, in any protocol.
pub fn encode_too_many_connections(out: &mut Vec<u8>) {
    out.extend_from_slice(b"ERROR Too many open connections\r\n");
}
