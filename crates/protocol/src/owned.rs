//! Requests and forms that outlive the read buffer.

use crate::{Form, Request};

/// A [`Request`] with its bytes.
#[derive(Debug)]
pub struct OwnedRequest {
    buffer: Buffer,
}

/// A [`Form`] with its bytes. Without allocation unless it is a meta form.
#[derive(Debug)]
pub struct OwnedForm {
    buffer: Buffer,
}

#[derive(Debug)]
struct Buffer;

impl Request<'_> {
    /// Copies the request and all that it borrows, in one allocation.
    pub fn to_owned(&self) -> OwnedRequest {
        unimplemented!()
    }
}

impl OwnedRequest {
    /// The request, for executing it.
    pub fn borrow(&self) -> Request<'_> {
        let _ = &self.buffer;
        unimplemented!()
    }
}

impl Form<'_> {
    /// Copies the form and what it borrows.
    pub fn to_owned(&self) -> OwnedForm {
        unimplemented!()
    }
}

impl OwnedForm {
    /// The form, for encoding.
    pub fn as_form(&self) -> Form<'_> {
        let _ = &self.buffer;
        unimplemented!()
    }
}
