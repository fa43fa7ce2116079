//! Redis' protocol, as much of it as GET, MGET, SET, INCR and DEL need.

/// One reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reply<'a> {
    /// `+OK`
    Simple(&'a [u8]),
    /// `-ERR …`, without the sign.
    Error(&'a [u8]),
    /// `:1`
    Number(i64),
    /// A value, or none.
    Bulk(Option<&'a [u8]>),
    /// An array follows, of so many replies.
    Array(usize),
}

/// Begins a command of so many arguments.
pub(crate) fn begin(arguments: usize, out: &mut Vec<u8>) {
    out.push(b'*');
    put_length(arguments, out);
}

/// Appends an argument.
pub(crate) fn put(argument: &[u8], out: &mut Vec<u8>) {
    out.push(b'$');
    put_length(argument.len(), out);
    out.extend_from_slice(argument);
    out.extend_from_slice(b"\r\n");
}

fn put_length(length: usize, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut start = digits.len();
    let mut rest = length;
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
    out.extend_from_slice(b"\r\n");
}

/// The reply at the start of `input` and the bytes it takes; `None` if it is not all there.
///
/// # Errors
/// What is wrong with input that is no reply.
pub(crate) fn decode(input: &[u8]) -> Result<Option<(Reply<'_>, usize)>, &'static str> {
    let Some(end) = input.windows(2).position(|pair| pair == b"\r\n") else {
        return if input.len() > LINE_BYTES_MAX { Err("the line is too long") } else { Ok(None) };
    };
    let Some((kind, line)) = input[..end].split_first() else { return Err("the line is empty") };
    let after = end + 2;
    let number = || {
        let text = std::str::from_utf8(line).map_err(|_| "a number is malformed")?;
        text.parse::<i64>().map_err(|_| "a number is malformed")
    };
    let reply = match kind {
        b'+' => Reply::Simple(line),
        b'-' => Reply::Error(line),
        b':' => Reply::Number(number()?),
        b'*' => Reply::Array(usize::try_from(number()?).map_err(|_| "an array has a negative length")?),
        b'$' => {
            let length = number()?;
            let Ok(length) = usize::try_from(length) else { return Ok(Some((Reply::Bulk(None), after))) };
            let Some(value) = input.get(after..after + length) else { return Ok(None) };
            if input.len() < after + length + 2 {
                return Ok(None);
            }
            return Ok(Some((Reply::Bulk(Some(value)), after + length + 2)));
        }
        _ => return Err("the line begins with no sign of Redis' protocol"),
    };
    Ok(Some((reply, after)))
}

const LINE_BYTES_MAX: usize = 64 * 1024;
