//! The client's side: requests in, bytes out; bytes in, replies out.
