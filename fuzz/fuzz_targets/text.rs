//! Classic text (and whatever of meta the fuzzer finds).

#![no_main]

use larder_fuzz::check_stream;
use larder_protocol::Choice;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&cut, stream)) = data.split_first() else { return };
    check_stream(Choice::Text, stream, usize::from(cut));
});
