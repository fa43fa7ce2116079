//! Binary packets: the input behind a magic byte.

#![no_main]

use larder_fuzz::check_stream;
use larder_protocol::Choice;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&cut, rest)) = data.split_first() else { return };
    let stream = [&[0x80], rest].concat();
    check_stream(Choice::Binary, &stream, usize::from(cut));
});
