//! A whole server with items in RAM: whatever a client says, in two pieces, it gets whole answers, and the connection ends
//! when the client says no more.

#![no_main]

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::LazyLock;

use larder::build::Engines;
use larder::cli;
use larder::config::{Input, Program, check};
use larder_engine::Services;
use larder_protocol::Protocol;
use larder_protocol::client::{DecodedReply, ReplyDecoder};
use larder_server::{Bound, ListenAddress, Options, Server};
use libfuzzer_sys::fuzz_target;

static SOCKET: LazyLock<PathBuf> = LazyLock::new(start);

fuzz_target!(|data: &[u8]| {
    let Some((&cut, stream)) = data.split_first() else { return };
    // With more memory it would keep all that the fuzzer ever sent.
    if stream.windows(14).any(|word| word == b"cache_memlimit") {
        return;
    }
    let cut = usize::from(cut) % (stream.len() + 1);
    let mut client = UnixStream::connect(&*SOCKET).expect("the server listens");
    let mut answers = Vec::new();
    // The server may have closed the connection after the first piece; what it said before can still be read.
    let said = client.write_all(&stream[..cut]).and_then(|()| client.write_all(&stream[cut..]));
    if said.is_ok() {
        client.shutdown(Shutdown::Write).ok();
    }
    let heard = client.read_to_end(&mut answers);
    if said.is_ok() && heard.is_ok() {
        check_answers(stream.first() == Some(&0x80), &answers);
    }
});

/// Answers are whole, and there is nothing besides.
fn check_answers(is_binary: bool, answers: &[u8]) {
    let mut decoder = ReplyDecoder::new(if is_binary { Protocol::Binary } else { Protocol::Text });
    let mut rest = answers;
    while !rest.is_empty() {
        match decoder.decode(rest) {
            DecodedReply::Reply { consumed, .. } => rest = &rest[consumed..],
            other => panic!("{other:?} at the end of {}", answers.escape_ascii()),
        }
    }
}

/// Starts a server that ends with this process.
fn start() -> PathBuf {
    let path = std::env::temp_dir().join(format!("larder-fuzz-{}.sock", std::process::id()));
    let arguments = ["larder", "--store", "ram", "-m", "8", "-t", "1"].map(Into::into);
    let options = cli::parse(Program::Larder, arguments).expect("good options").options;
    let plan = check(&Input { program: Program::Larder, cores: 1, options: &options, file: None });
    let services = Services::system();
    let mut engines = Engines::new(services.clone());
    let setup = engines.setup(&plan.expect("good options")).expect("RAM can be had");
    let listen = vec![ListenAddress::Unix { path: path.clone(), mode: 0o700 }];
    let bound = Bound::bind(Options { listen, workers: 1, ..Options::default() }).expect("a free path");
    let (stops, _asked) = std::sync::mpsc::channel();
    let server = Server::start(bound, services.clock.clone(), setup, stops).expect("threads can be had");
    std::mem::forget((server, engines));
    path
}
