//! A client that sends bytes and looks at the bytes that come back.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::wait::PATIENCE;

const READ_BYTES: usize = 64 << 10;

pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// The answer ended before it was whole.
#[derive(Debug)]
pub struct Cut {
    /// All that had come.
    pub received: Vec<u8>,
    pub end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The server closed the connection.
    Closed,
    /// Nothing came for long.
    Silent,
}

pub struct Client {
    stream: Stream,
    /// Received, and not asked for yet.
    received: Vec<u8>,
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream =
        TcpStream::connect_timeout(&address, PATIENCE).unwrap_or_else(|error| panic!("{address}: {error}"));
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

impl Client {
    pub fn tcp(address: SocketAddr) -> Client {
        Client { stream: Stream::Tcp(connect(address)), received: Vec::new() }
    }

    /// Shakes hands with a server of TLS. Whether that one accepts the client's certificate shows with the first answer.
    pub fn try_tls(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Client> {
        let name = address.ip().into();
        let session = ClientConnection::new(config.clone(), name).expect("a good configuration");
        let mut stream = StreamOwned::new(session, connect(address));
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Client { stream: Stream::Tls(Box::new(stream)), received: Vec::new() })
    }

    pub fn tls(address: SocketAddr, config: &Arc<ClientConfig>) -> Client {
        Client::try_tls(address, config).unwrap_or_else(|error| panic!("{address}: {error}"))
    }

    pub fn unix(path: &Path) -> Client {
        let stream = UnixStream::connect(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Client { stream: Stream::Unix(stream), received: Vec::new() }
    }

    /// The server's TCP address.
    pub fn peer(&self) -> SocketAddr {
        match &self.stream {
            Stream::Tcp(stream) => stream.peer_addr().unwrap(),
            Stream::Tls(stream) => stream.sock.peer_addr().unwrap(),
            Stream::Unix(_) => panic!("a unix socket has no address"),
        }
    }

    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    pub fn stream_mut(&mut self) -> &mut Stream {
        &mut self.stream
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the server takes requests");
    }

    /// Sends; the server may have closed the connection.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(bytes.as_ref()),
            Stream::Unix(stream) => stream.write_all(bytes.as_ref()),
            Stream::Tls(stream) => stream.write_all(bytes.as_ref()).and_then(|()| stream.flush()),
        }
    }

    /// Says that nothing more will be sent.
    pub fn finish(&mut self) -> io::Result<()> {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
            Stream::Tls(stream) => {
                stream.conn.send_close_notify();
                stream.flush()
            }
        }
    }

    /// Receives something; nothing is the end of the connection.
    fn receive(&mut self) -> io::Result<usize> {
        let mut buffer = [0; READ_BYTES];
        let count = match &mut self.stream {
            Stream::Tcp(stream) => stream.read(&mut buffer)?,
            Stream::Unix(stream) => stream.read(&mut buffer)?,
            Stream::Tls(stream) => stream.read(&mut buffer)?,
        };
        self.received.extend_from_slice(&buffer[..count]);
        Ok(count)
    }

    /// Receives until `enough` says how many of the bytes are wanted, and takes those.
    pub fn take(&mut self, enough: impl Fn(&[u8]) -> Option<usize>) -> Result<Vec<u8>, Cut> {
        loop {
            if let Some(count) = enough(&self.received) {
                return Ok(self.received.drain(..count).collect());
            }
            let end = match self.receive() {
                Ok(0) => End::Closed,
                Ok(_) => continue,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => End::Closed,
                Err(error) if error.kind() == ErrorKind::WouldBlock => End::Silent,
                Err(error) => panic!("{error}"),
            };
            return Err(Cut { received: std::mem::take(&mut self.received), end });
        }
    }

    /// Everything until the server closes the connection.
    pub fn try_rest(&mut self) -> Result<Vec<u8>, Cut> {
        match self.take(|_| None) {
            Err(Cut { received, end: End::Closed }) => Ok(received),
            other => other,
        }
    }

    /// The same; the server must close it.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        self.try_rest().unwrap_or_else(|cut| panic!("not closed: {}", cut.describe()))
    }

    /// The next bytes, as many.
    #[track_caller]
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        self.take(|received| (received.len() >= count).then_some(count))
            .unwrap_or_else(|cut| panic!("{count} bytes are wanted: {}", cut.describe()))
    }

    /// The next line, without its end.
    #[track_caller]
    pub fn line(&mut self) -> String {
        let mut line = self
            .take(|received| received.iter().position(|&byte| byte == b'\n').map(|at| at + 1))
            .unwrap_or_else(|cut| panic!("a line is wanted: {}", cut.describe()));
        line.pop();
        assert_eq!(line.pop(), Some(b'\r'), "a line ends with CRLF");
        String::from_utf8(line).expect("text")
    }

    /// The next line of those that end with LF alone, without it.
    #[track_caller]
    pub fn log_line(&mut self) -> String {
        let line = self.dump_line();
        assert!(!line.ends_with('\r'), "a line of a log ends with LF alone");
        line
    }

    /// The next line of a dump, which ends with LF alone but for its last: that ends with CRLF, whose CR is left here.
    #[track_caller]
    pub fn dump_line(&mut self) -> String {
        let mut line = self
            .take(|received| received.iter().position(|&byte| byte == b'\n').map(|at| at + 1))
            .unwrap_or_else(|cut| panic!("a line is wanted: {}", cut.describe()));
        line.pop();
        String::from_utf8(line).expect("text")
    }

    /// The next bytes must be these.
    #[track_caller]
    pub fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        let differs = |received: &[u8]| received.iter().zip(expected).position(|(one, other)| one != other);
        let enough = |received: &[u8]| match differs(received) {
            Some(_) => Some(received.len()),
            None => (received.len() >= expected.len()).then_some(expected.len()),
        };
        match self.take(enough) {
            Ok(received) if received == expected => {}
            Ok(received) => panic!("expected {}\nreceived {}", shortened(expected), shortened(&received)),
            Err(cut) => panic!("expected {}\n{}", shortened(expected), cut.describe()),
        }
    }

    /// Sends a request, whose answer must be this.
    #[track_caller]
    pub fn ask(&mut self, request: impl AsRef<[u8]>, expected: impl AsRef<[u8]>) {
        self.send(request);
        self.expect(expected);
    }

    /// The server must have closed the connection, and sent nothing more.
    #[track_caller]
    pub fn expect_close(&mut self) {
        let rest = self.rest();
        assert!(rest.is_empty(), "before the close came {}", shortened(&rest));
    }

    #[track_caller]
    pub fn set(&mut self, key: &str, value: &str) {
        self.ask(format!("set {key} 0 0 {}\r\n{value}\r\n", value.len()), "STORED\r\n");
    }

    /// The value under the key.
    pub fn get(&mut self, key: &str) -> Option<String> {
        self.send(format!("get {key}\r\n"));
        let head = self.line();
        if head == "END" {
            return None;
        }
        let fields: Vec<&str> = head.split(' ').collect();
        assert_eq!((fields.len(), fields[0], fields[1]), (4, "VALUE", key), "{head}");
        let mut value = self.bytes(fields[3].parse::<usize>().expect("a length") + 2);
        assert_eq!(value.split_off(value.len() - 2), b"\r\n");
        assert_eq!(self.line(), "END");
        Some(String::from_utf8(value).expect("text"))
    }

    /// `stats ARGUMENT`: names and values in the order of the answer.
    pub fn stats(&mut self, argument: &str) -> Vec<(String, String)> {
        self.send(format!("stats {argument}\r\n"));
        let mut stats = Vec::new();
        loop {
            let line = self.line();
            if line == "END" {
                return stats;
            }
            let mut fields = line.splitn(3, ' ');
            assert_eq!(fields.next(), Some("STAT"), "{line}");
            let name = fields.next().unwrap_or_else(|| panic!("a name in {line}"));
            stats.push((name.to_owned(), fields.next().unwrap_or_default().to_owned()));
        }
    }

    /// One number of `stats`.
    pub fn stat(&mut self, name: &str) -> u64 {
        let stats = self.stats("");
        let (_, value) = stats.iter().find(|(other, _)| other == name).expect("a name of `stats`");
        value.parse().unwrap_or_else(|_| panic!("{name} is {value}"))
    }

    /// One number of `stats larder` that is of no stack.
    pub fn own_stat(&mut self, name: &str) -> u64 {
        let stats = self.stats("larder");
        let (_, value) = stats.iter().find(|(other, _)| other == name).expect("a name of `stats larder`");
        value.parse().unwrap_or_else(|_| panic!("{name} is {value}"))
    }

    /// The sum of a number over all stacks in `stats larder`.
    pub fn stack_stat(&mut self, name: &str) -> u64 {
        let suffix = format!(":{name}");
        let stats = self.stats("larder");
        let values: Vec<u64> = stats
            .iter()
            .filter(|(other, _)| other.ends_with(&suffix))
            .map(|(name, value)| value.parse().unwrap_or_else(|_| panic!("{name} is {value}")))
            .collect();
        assert!(!values.is_empty(), "no stack has {name}: {stats:?}");
        values.iter().sum()
    }
}

impl Cut {
    pub fn describe(&self) -> String {
        format!("{:?} after {}", self.end, shortened(&self.received))
    }
}

/// Bytes as readable text of bounded length.
pub fn shortened(bytes: &[u8]) -> String {
    const SHOWN_BYTES_MAX: usize = 300;
    let shown = bytes[..bytes.len().min(SHOWN_BYTES_MAX)].escape_ascii();
    match bytes.len() {
        0..=SHOWN_BYTES_MAX => format!("{shown}"),
        length => format!("{shown}… ({length} bytes)"),
    }
}
