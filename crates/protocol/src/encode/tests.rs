use crate::*;

fn text(response: &Response<'_>) -> String {
    let mut out = Vec::new();
    encode(&Form::Text(TextForm::default()), response, &mut out);
    String::from_utf8(out).unwrap()
}

fn binary(opcode: u8, response: &Response<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&Form::Binary(BinaryForm { opcode, opaque: 0 }), response, &mut out);
    out
}

#[test]
fn a_failures_text_cannot_leave_its_line() {
    let failure = Failure { kind: FailureKind::Unavailable, text: "gone\r\nSTORED\r\n\0" };
    assert_eq!(text(&Response::Failure(failure)), "SERVER_ERROR gone  STORED   \r\n");
    let failure = Failure { kind: FailureKind::Client, text: &"ä".repeat(1000) };
    assert_eq!(text(&Response::Failure(failure)), format!("CLIENT_ERROR {}\r\n", "ä".repeat(128)));
}

#[test]
fn a_statistic_cannot_leave_its_line() {
    let stat = Response::Stat { name: b"domain_socket", value: b"/tmp/a\nEND" };
    assert_eq!(text(&stat), "STAT domain_socket /tmp/a END\r\n");
}

#[test]
fn noreply_suppresses_everything() {
    let form = Form::Text(TextForm { noreply: true, with_cas: false });
    let failure = Failure { kind: FailureKind::Busy, text: "busy" };
    for response in [
        Response::Stored(Stored::default()),
        Response::NotStored,
        Response::Exists,
        Response::NotFound,
        Response::Deleted,
        Response::Touched,
        Response::Ok,
        Response::Number(Number { value: 1, cas: 1, ttl: None, ttl_before: None }),
        Response::Error(ProtocolError::BadDataChunk),
        Response::Failure(failure),
    ] {
        let mut out = Vec::new();
        encode(&form, &response, &mut out);
        assert_eq!(out, b"", "{response:?}");
    }
}

#[test]
fn quiet_opcodes_hide_only_the_usual() {
    use Opcode::*;
    let stored = Response::Stored(Stored::default());
    for (opcode, hidden) in [
        (GET_QUIET, Response::Miss { key: b"k" }),
        (GET_KEY_QUIET, Response::Miss { key: b"k" }),
        (GET_TOUCH_QUIET, Response::Miss { key: b"k" }),
        (GET_TOUCH_KEY_QUIET, Response::Miss { key: b"k" }),
        (SET_QUIET, stored),
        (ADD_QUIET, stored),
        (REPLACE_QUIET, stored),
        (APPEND_QUIET, stored),
        (PREPEND_QUIET, stored),
        (DELETE_QUIET, Response::Deleted),
        (INCREMENT_QUIET, Response::Number(Number { value: 1, cas: 1, ttl: None, ttl_before: None })),
        (DECREMENT_QUIET, Response::Number(Number { value: 1, cas: 1, ttl: None, ttl_before: None })),
        (FLUSH_QUIET, Response::Ok),
        (QUIT_QUIET, Response::Quit),
    ] {
        assert_eq!(binary(opcode, &hidden), b"", "{opcode:#x}");
        let failure = Failure { kind: FailureKind::TimedOut, text: "late" };
        for shown in [
            Response::NotFound,
            Response::Exists,
            Response::NotStored,
            Response::Error(ProtocolError::ValueTooLarge),
            Response::Failure(failure),
        ] {
            assert_ne!(binary(opcode, &shown), b"", "{opcode:#x} {shown:?}");
        }
    }
}

#[test]
fn binary_errors_have_their_status() {
    for (opcode, error, status) in [
        (Opcode::GET, ProtocolError::UnknownCommand, 0x81),
        (Opcode::STAT, ProtocolError::UnknownCommand, 0x01),
        (Opcode::SET, ProtocolError::ValueTooLarge, 0x03),
        (Opcode::SET, ProtocolError::OutOfMemoryStoring, 0x82),
        (Opcode::INCREMENT, ProtocolError::NonNumeric, 0x06),
        (Opcode::GET, ProtocolError::InvalidArguments, 0x04),
        (Opcode::GET, ProtocolError::AuthFailure, 0x20),
    ] {
        let packet = binary(opcode, &Response::Error(error));
        assert_eq!(u16::from_be_bytes([packet[6], packet[7]]), status, "{error:?}");
        assert!(packet.len() > 24, "{error:?} has words");
    }
}

#[test]
fn sasl_answers() {
    assert_eq!(&binary(Opcode::SASL_LIST, &Response::SaslMechanisms("PLAIN"))[24..], b"PLAIN");
    assert_eq!(&binary(Opcode::SASL_AUTH, &Response::Authenticated)[24..], b"Authenticated");
    let more = binary(Opcode::SASL_STEP, &Response::AuthContinue(b"more"));
    assert_eq!((more[7], &more[24..]), (0x21, b"more".as_slice()));
}

#[test]
fn every_error_is_one_line() {
    // The words are the table's; this keeps a slip of the pen out of it.
    for error in [ProtocolError::UnknownCommand, ProtocolError::BadCommandLine, ProtocolError::AuthFailure] {
        assert!(!error.line().contains(['\r', '\n']));
        assert_eq!(text(&Response::Error(error)), format!("{error}\r\n"));
    }
}

#[test]
fn owned_forms_and_requests_outlive_the_buffer() {
    let mut input = b"mg a2V5 b k O77 v\r\n".to_vec();
    let mut scratch = Scratch::default();
    let mut decoder = Decoder::new(Limits::default(), Choice::Auto);
    let Decoded::Request { request, .. } = decoder.decode(&input, &mut scratch) else { panic!("a request") };
    let (request, form) = (request.to_owned(), request.form.to_owned());
    input.fill(0);
    // Another key takes the scratch's place.
    decoder.decode(b"mg b3RoZXI= b\r\n", &mut scratch);
    let Command::Lookup(lookup) = request.borrow().command else { panic!("a look-up") };
    assert_eq!(lookup.key, b"key");
    // They may go to another thread.
    let out = std::thread::spawn(move || {
        let mut out = Vec::new();
        encode(&form.as_form(), &Response::Miss { key: b"key" }, &mut out);
        encode(&request.borrow().form, &Response::Miss { key: b"key" }, &mut out);
        out
    });
    assert_eq!(out.join().unwrap(), b"EN ka2V5 b O77\r\nEN ka2V5 b O77\r\n");
}
