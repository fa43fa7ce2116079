//! A server for the generator's tests: a map behind the protocol's decoder, with faults on demand.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use larder_protocol::{
    Choice, Command, Decoded, Decoder, Failure, FailureKind, Form, Hit, Limits, Number, Response, Scratch,
    Stored, Value, encode,
};

#[derive(Clone)]
pub(super) enum Fault {
    None,
    WrongValues,
    RefusesSets,
    HangsUp,
    /// Takes so long before the first answer on a connection.
    StallsFirst(Duration),
    /// Answers nothing, but tells that something came.
    Silent(Sender<()>),
}

type Items = Arc<Mutex<HashMap<Vec<u8>, Vec<u8>>>>;

/// Its threads end with the test's process.
pub(super) struct TestServer(SocketAddr);

impl TestServer {
    pub(super) fn start(fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let items = Items::default();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, items) = (stream.unwrap(), items.clone());
                if matches!(fault, Fault::HangsUp) {
                    continue;
                }
                let fault = fault.clone();
                thread::spawn(move || serve(stream, &items, &fault));
            }
        });
        TestServer(address)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.0
    }
}

fn serve(mut stream: TcpStream, items: &Items, fault: &Fault) {
    let mut decoder = Decoder::new(Limits::default(), Choice::Auto);
    let (mut input, mut out) = (Vec::new(), Vec::new());
    let mut piece = [0; 16 * 1024];
    let mut is_first = true;
    loop {
        // The client hangs up when it has seen enough.
        let Ok(count @ 1..) = stream.read(&mut piece) else { return };
        input.extend_from_slice(&piece[..count]);
        match fault {
            Fault::StallsFirst(time) if std::mem::take(&mut is_first) => thread::sleep(*time),
            Fault::Silent(heard) => {
                heard.send(()).ok();
                continue;
            }
            _ => {}
        }
        loop {
            let mut scratch = Scratch::default();
            let consumed = match decoder.decode(&input, &mut scratch) {
                Decoded::Request { request, consumed } => {
                    answer(&request.command, &request.form, &mut items.lock().unwrap(), fault, &mut out);
                    consumed
                }
                Decoded::Incomplete { .. } => break,
                other => panic!("the generator sent {other:?}"),
            };
            input.drain(..consumed);
        }
        if stream.write_all(&out).is_err() {
            return;
        }
        out.clear();
    }
}

fn answer(
    command: &Command<'_>,
    form: &Form<'_>,
    items: &mut HashMap<Vec<u8>, Vec<u8>>,
    fault: &Fault,
    out: &mut Vec<u8>,
) {
    let mut say = |response: Response<'_>| {
        encode(form, &response, out);
    };
    let mut look = |key: &[u8]| match items.get(key) {
        Some(_) if matches!(fault, Fault::WrongValues) => say(hit(key, b"something else")),
        Some(value) => say(hit(key, value)),
        None => say(Response::Miss { key }),
    };
    match command {
        Command::Get(get) => {
            get.keys.into_iter().for_each(&mut look);
            say(Response::End);
        }
        Command::Lookup(lookup) => look(lookup.key),
        Command::Store(_) if matches!(fault, Fault::RefusesSets) => {
            say(Response::Failure(Failure {
                kind: FailureKind::Internal,
                text: "out of memory storing object",
            }));
        }
        Command::Store(store) => {
            items.insert(store.key.to_vec(), store.value.to_vec());
            say(Response::Stored(Stored { cas: 1, value_bytes: store.value.len() }));
        }
        Command::Delete(delete) => match items.remove(delete.key) {
            Some(_) => say(Response::Deleted),
            None => say(Response::NotFound),
        },
        Command::Arithmetic(arithmetic) => match items.get_mut(arithmetic.key) {
            Some(value) => {
                let number = std::str::from_utf8(value).unwrap().parse::<u64>().unwrap() + arithmetic.delta;
                *value = number.to_string().into_bytes();
                say(Response::Number(Number { value: number, cas: 1, ttl: None, ttl_before: None }));
            }
            None => say(Response::NotFound),
        },
        Command::Noop => say(Response::Noop),
        other => panic!("the generator sent {other:?}"),
    }
}

fn hit<'a>(key: &'a [u8], value: &'a [u8]) -> Response<'a> {
    Response::Hit(Hit::new(key, 0, 1, Value::Bytes(value)))
}
