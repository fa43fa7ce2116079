//! Cutting a line into tokens.

/// The first token of a line and what follows it, without the spaces before either; `None` if there is
/// no token.
#[inline]
pub(crate) fn split_token(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = line.iter().position(|&byte| byte != b' ')?;
    let line = &line[start..];
    let end = memchr::memchr(b' ', line).unwrap_or(line.len());
    Some((&line[..end], &line[end..]))
}
