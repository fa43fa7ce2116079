//! What a connection goes through before it is served, where strangers are kept out: the TLS handshake, then
//! authentication. Until it is through no engine hears of it, and no command is executed.
//!
//! A connection that needs neither never comes here.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use larder_engine::Connection;
use larder_protocol::{
    Choice, Command, Credentials, Decoded, Decoder, Form, LogCloseReason, ProtocolError, Request, Response,
    Scratch, Stored, TextForm, decode_credentials, encode,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use super::{Guest, Stream, limits};
use crate::counters::Counters;
use crate::guard::Authentication;
use crate::sasl;
use crate::secret::Secret;
use crate::tls::ClientCertificates;
use crate::users::Users;
use crate::watch::Visit;
use crate::worker::{Arrival, Socket, WorkerState};

/// How long a client may take to say who it is.
const AUTHENTICATION_PATIENCE: Duration = Duration::from_secs(30);

/// Bytes read at once from somebody unknown.
const PIECE_BYTES: usize = 4 << 10;

/// Takes a connection through all it needs, then serves it.
pub(crate) async fn admit(state: Rc<WorkerState>, arrival: Arrival) {
    let Arrival { socket, peer, listener, id, seat } = arrival;
    let mut visit = Visit::begin(&state, peer, socket.descriptor());
    let attached = match socket {
        Socket::Tls(socket, clients) => shake_hands(&state, socket, clients).await,
        socket => Stream::attach(socket),
    };
    let mut stream = match attached {
        Ok(stream) => stream,
        Err(error) => {
            visit.reason = LogCloseReason::Error;
            return tracing::debug!("connection {id}: {error}");
        }
    };
    let connection = Connection::new(id, listener, stream.descriptor());
    let mut input = Secret::default();
    if let Some(users) = state.shared.guard.users() {
        let gate = Gate::new(&state, &users);
        let judged = tokio::time::timeout(AUTHENTICATION_PATIENCE, gate.judge(&mut stream, &mut input));
        match judged.await {
            Ok(Ok(Some(user))) => *connection.user.lock() = Some(user),
            Ok(Ok(None)) => return tracing::debug!("connection {id}: closed before it was authenticated"),
            Ok(Err(error)) => {
                visit.reason = LogCloseReason::Error;
                count_tls_error(&state, &stream, &error);
                return tracing::debug!("connection {id}: {error}");
            }
            Err(_late) => {
                visit.reason = LogCloseReason::IdleTimeout;
                return tracing::debug!("connection {id}: not authenticated in time");
            }
        }
    }
    // In a task of its own, which needs no room for what came before.
    let guest = Guest { connection, stream, visit, seat: Some(seat) };
    tokio::task::spawn_local(super::serve(&state, guest, input.bytes().to_vec()));
}

/// Damage to an encrypted stream is counted.
pub(super) fn count_tls_error(state: &WorkerState, stream: &Stream, error: &io::Error) {
    if matches!(stream, Stream::Tls(_)) && error.kind() == io::ErrorKind::InvalidData {
        state.counters.ssl_proto_errors.add(1);
    }
}

async fn shake_hands(
    state: &WorkerState,
    socket: std::net::TcpStream,
    clients: ClientCertificates,
) -> io::Result<Stream> {
    socket.set_nonblocking(true)?;
    socket.set_nodelay(true)?;
    let socket = TcpStream::from_std(socket)?;
    let config = state.shared.guard.tls().and_then(|tls| tls.config(clients));
    // A listener is bound only once what it needs has been read, and only what was read whole replaces that.
    let config = config.expect("a TLS listener has its configuration");
    let patience = state.shared.options.handshake_patience;
    let shaken = tokio::time::timeout(patience, TlsAcceptor::from(config).accept(socket)).await;
    let stream = match shaken {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            state.counters.ssl_handshake_errors.add(1);
            return Err(io::Error::new(error.kind(), format!("no TLS handshake: {error}")));
        }
        Err(_late) => {
            state.counters.ssl_handshake_errors.add(1);
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long"));
        }
    };
    if stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Full) {
        state.counters.ssl_new_sessions.add(1);
    }
    Ok(Stream::Tls(Box::new(stream)))
}

/// What is to be done after the input was looked at.
#[derive(Debug, PartialEq)]
enum Verdict {
    /// Read more.
    More,
    /// The client is this user.
    Enter(Arc<str>),
    /// Close the connection once the answers are sent.
    Close,
}

/// Judges what a client says before it is known.
struct Gate<'a> {
    users: &'a Users,
    counters: &'a Counters,
    version: &'static str,
    dialect: Dialect,
}

enum Dialect {
    Text,
    Binary(Box<(Decoder, Scratch)>),
}

impl<'a> Gate<'a> {
    fn new(state: &'a WorkerState, users: &'a Users) -> Gate<'a> {
        let item_size_max = state.setup().tunables.item_size_max;
        let dialect = match state.shared.guard.authentication() {
            Authentication::Sasl(_) => Dialect::binary(item_size_max),
            Authentication::Text(_) | Authentication::None => Dialect::Text,
        };
        Gate { users, counters: &state.counters, version: state.shared.options.version, dialect }
    }

    /// Answers until it is known who the client is; `None` if the connection is to be closed. What follows the
    /// authentication stays in `input`.
    async fn judge(mut self, stream: &mut Stream, input: &mut Secret) -> io::Result<Option<Arc<str>>> {
        let mut piece = Zeroizing::new(vec![0; PIECE_BYTES]);
        loop {
            let count = stream.read(&mut piece).await?;
            if count == 0 {
                return Ok(None);
            }
            self.counters.bytes_read.add(count as u64);
            input.extend(&piece[..count]);
            let mut answers = Vec::new();
            let verdict = self.look(input, &mut answers);
            stream.write_all(&answers).await?;
            stream.flush().await?;
            self.counters.bytes_written.add(answers.len() as u64);
            match verdict {
                Verdict::More => {}
                Verdict::Enter(user) => return Ok(Some(user)),
                Verdict::Close => {
                    stream.say_goodbye();
                    return Ok(None);
                }
            }
        }
    }

    /// Takes from the input what is whole and answers it.
    fn look(&mut self, input: &mut Secret, answers: &mut Vec<u8>) -> Verdict {
        loop {
            let (consumed, verdict) = match &mut self.dialect {
                Dialect::Text => judge_text(self.users, self.counters, input.bytes(), answers),
                Dialect::Binary(parts) => {
                    let (decoder, scratch) = &mut **parts;
                    let decoded = decoder.decode(input.bytes(), scratch);
                    judge_packet(self.users, self.counters, self.version, &decoded, answers)
                }
            };
            input.consume(consumed);
            match verdict {
                Some(verdict) => return verdict,
                None => continue,
            }
        }
    }
}

impl Dialect {
    fn binary(item_size_max: u32) -> Dialect {
        let decoder = Decoder::new(limits(item_size_max), Choice::Binary);
        Dialect::Binary(Box::new((decoder, Scratch::default())))
    }
}

/// One line of text and its data: how many bytes are done with, and the verdict if there is one.
fn judge_text(
    users: &Users,
    counters: &Counters,
    input: &[u8],
    answers: &mut Vec<u8>,
) -> (usize, Option<Verdict>) {
    let form = Form::Text(TextForm::default());
    let mut refuse = |error| encode(&form, &Response::Error(error), answers);
    match decode_credentials(input) {
        Credentials::Incomplete => (0, Some(Verdict::More)),
        Credentials::Close(error) => {
            if let Some(error) = error {
                refuse(error);
            }
            (0, Some(Verdict::Close))
        }
        Credentials::Refused { error, consumed } => {
            refuse(error);
            (consumed, None)
        }
        Credentials::Given { user, password, consumed } => {
            counters.auth_cmds.add(1);
            match users.enter(user, password) {
                Some(user) => {
                    encode(&form, &Response::Stored(Stored::default()), answers);
                    (consumed, Some(Verdict::Enter(user)))
                }
                None => {
                    counters.auth_errors.add(1);
                    refuse(ProtocolError::AuthFailure);
                    (consumed, None)
                }
            }
        }
    }
}

/// One packet, likewise. Whatever is neither about authentication nor the version ends the connection.
fn judge_packet(
    users: &Users,
    counters: &Counters,
    version: &'static str,
    decoded: &Decoded<'_>,
    answers: &mut Vec<u8>,
) -> (usize, Option<Verdict>) {
    let mut refuse = |form: &Form<'_>, error| {
        encode(form, &Response::Error(error), answers);
        (0, Some(Verdict::Close))
    };
    let (Request { command, form }, consumed) = match decoded {
        Decoded::Request { request, consumed } => (request, *consumed),
        Decoded::Value { request, .. } => return refuse(&request.form, ProtocolError::AuthFailure),
        Decoded::Incomplete { .. } => return (0, Some(Verdict::More)),
        Decoded::Skipped { consumed } => return (*consumed, None),
        Decoded::Close { reply: Some((form, error)), .. } => return refuse(form, *error),
        Decoded::Close { reply: None, .. } => return (0, Some(Verdict::Close)),
    };
    match command {
        Command::Version => {
            encode(form, &Response::Version(version), answers);
            (consumed, None)
        }
        Command::Sasl(command) => {
            let outcome = sasl::judge(users, counters, command);
            encode(form, &outcome.response(), answers);
            match outcome {
                sasl::Outcome::Entered(user) => (consumed, Some(Verdict::Enter(user))),
                sasl::Outcome::Undecided(_) | sasl::Outcome::Refused => (consumed, None),
            }
        }
        _ => refuse(form, ProtocolError::AuthFailure),
    }
}

#[cfg(test)]
mod tests;
