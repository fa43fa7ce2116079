//! What C's interface has no word for is refused, and changes nothing.

mod support;

use larder_engine::kit::command::{delete_with, get, get_with, set};
use larder_engine::kit::{Command, Outcome};
use larder_engine::{Delete, Engine, ErrorKind, Get, Older, ScanOrder, Vivify};
use support::{Visit, has_compiler, module};

#[test]
fn options_without_a_counterpart_are_refused() {
    if !has_compiler() {
        return;
    }
    let visit = Visit::new(&module("hash.c", &["-DNO_RAW_COMMANDS"]), None);
    visit.run(set(b"k", b"1"));
    let never = larder_engine::Expiry::NEVER;
    let arithmetic = larder_engine::Arithmetic {
        new_cas: Some(9),
        ..larder_engine::kit::command::step(larder_engine::Direction::Increment, 1)
    };
    let commands: Vec<Command> = vec![
        set(b"k", b"2").new_cas(7).into(),
        larder_engine::kit::command::StoreCommand { stale: true, ..set(b"k", b"2") }.into(),
        larder_engine::kit::command::StoreCommand { older: Older::MarkStale, ..set(b"k", b"2").compare(1) }
            .into(),
        delete_with(b"k", Delete { mark_stale: true, ..Delete::default() }),
        delete_with(b"k", Delete { drop_value: Some(0), ..Delete::default() }),
        get_with(b"k", Get { recache_below: Some(5), ..Get::plain() }),
        get_with(b"x", Get { vivify: Some(Vivify { expiry: never, new_cas: None }), ..Get::plain() }),
        get_with(b"k", Get { touch: Some(never), ..Get::plain() }),
        larder_engine::kit::command::touch(b"k", never),
        larder_engine::kit::command::arithmetic(b"k", arithmetic),
        Command::Flush { prefix: Some(b"k".to_vec()), when: None },
    ];
    for command in commands {
        let outcome = visit.run(command.clone());
        assert!(matches!(outcome, Outcome::Refused(ErrorKind::Unsupported, _)), "{command}: {outcome}");
    }
    assert!(matches!(visit.run(get(b"k")), Outcome::Found(_, value) if value == "1"));
    let page = visit.engine.scan(&visit.client().context(), ScanOrder::Any, None, 1000);
    assert_eq!(visit.answer(page).err().map(|error| error.kind()), Some(ErrorKind::Unsupported));
    assert_eq!(
        visit.engine.set_memory_limit(1 << 20).err().map(|error| error.kind()),
        Some(ErrorKind::Unsupported)
    );
    visit.end();
}
