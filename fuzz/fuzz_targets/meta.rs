//! Meta commands: each line of the input behind the name of one.

#![no_main]

use larder_fuzz::check_stream;
use larder_protocol::Choice;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&[selector, cut], rest)) = data.split_first_chunk() else { return };
    let names: [&[u8]; 6] = [b"mg ", b"ms ", b"md ", b"ma ", b"me ", b"mn "];
    let stream = [names[usize::from(selector) % names.len()], rest].concat();
    check_stream(Choice::Text, &stream, usize::from(cut));
});
