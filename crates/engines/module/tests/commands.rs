//! Commands with options that the kit's checks mix with others a module does not have.

mod support;

use larder_engine::kit::command::{arithmetic, flush_all, get, set, step};
use larder_engine::kit::{Command, Outcome};
use larder_engine::{Arithmetic, Direction, ErrorKind, Expiry, Initial, Number, Timestamp};
use support::{Visit, has_compiler, module};

/// With the server counting by itself, with the module's own incr, and with answers that come later.
fn everywhere(check: fn(&Visit)) {
    if !has_compiler() {
        return;
    }
    let kinds: [(&str, &[&str], Option<&str>); 4] = [
        ("hash.c", &[], None),
        ("hash.c", &["-DARITHMETIC"], None),
        ("blocking.c", &[], Some("rate=70")),
        ("blocking.c", &["-DARITHMETIC"], Some("rate=70")),
    ];
    for (source, defines, config) in kinds {
        let visit = Visit::new(&module(source, defines), config);
        check(&visit);
        visit.end();
    }
}

fn number(visit: &Visit, options: Arithmetic) -> Number {
    match visit.run(arithmetic(b"n", options)) {
        Outcome::Number(number) => number,
        other => panic!("{other}"),
    }
}

#[test]
fn counters_take_what_the_interface_has() {
    everywhere(|visit| {
        let now = larder_engine::Clock::now(&**visit.world.clock()).0;
        let up = |delta| step(Direction::Increment, delta);
        let initial = Some(Initial { value: 7, expiry: Expiry::at(now + 50) });
        let first = number(visit, Arithmetic { initial, ..up(1) });
        assert_eq!((first.value, first.created, first.flags), (7, true, 0));
        assert_eq!(first.expiry, Expiry::at(now + 50));
        let second = number(visit, Arithmetic { initial, ..up(5) });
        assert_eq!((second.value, second.created), (12, false));
        assert!(second.cas > first.cas);
        let wrong = visit.run(arithmetic(b"n", Arithmetic { compare: Some(first.cas), ..up(1) }));
        assert!(matches!(wrong, Outcome::Refused(ErrorKind::Exists, _)), "{wrong}");
        let third = number(visit, Arithmetic { compare: Some(second.cas), ..up(1) });
        assert_eq!(third.value, 13);
        let longer = Arithmetic { expiry: Some(Expiry::at(now + 90)), ..up(1) };
        let fourth = number(visit, longer);
        assert_eq!((fourth.value, fourth.expiry), (14, Expiry::at(now + 90)));
        assert_eq!(fourth.expiry_before, Expiry::at(now + 50));
        visit.run(set(b"n", b"20").flags(9));
        assert_eq!(number(visit, up(1)).flags, 9);
    });
}

#[test]
fn a_flush_takes_everything_now_or_at_its_second() {
    everywhere(|visit| {
        let clock = visit.world.clock();
        let now = larder_engine::Clock::now(&**clock).0;
        visit.run(set(b"k", b"v"));
        assert!(visit.run(flush_all()).is_success());
        assert_eq!(visit.run(get(b"k")), Outcome::Missing);
        visit.run(set(b"k", b"after"));
        assert!(visit.run(get(b"k")) != Outcome::Missing);
        let later = Command::Flush { prefix: None, when: Some(Timestamp(now + 3)) };
        assert!(visit.run(later).is_success());
        clock.advance(2);
        assert!(visit.run(get(b"k")) != Outcome::Missing);
        clock.advance(1);
        assert_eq!(visit.run(get(b"k")), Outcome::Missing);
    });
}

#[test]
fn an_item_outlives_its_touch_exactly() {
    everywhere(|visit| {
        let clock = visit.world.clock();
        let now = larder_engine::Clock::now(&**clock).0;
        visit.run(set(b"k", b"v").expiry(Expiry::at(now + 5)));
        let touched = visit.run(larder_engine::kit::command::touch(b"k", Expiry::at(now + 9)));
        assert!(matches!(touched, Outcome::Touched(_)), "{touched}");
        clock.advance(8);
        assert!(
            matches!(visit.run(get(b"k")), Outcome::Found(found, _) if found.expiry == Expiry::at(now + 9))
        );
        clock.advance(1);
        assert_eq!(visit.run(get(b"k")), Outcome::Missing);
    });
}

#[test]
fn counters_are_reset_before_they_are_told() {
    if !has_compiler() {
        return;
    }
    use larder_engine::Engine;
    let visit = Visit::new(&module("hash.c", &[]), None);
    for _ in 0..3 {
        visit.run(get(b"k"));
    }
    assert_eq!(visit.stats("")["engine_gets"], "3");
    visit.engine.reset_stats();
    visit.run(get(b"k"));
    assert_eq!(visit.stats("")["engine_gets"], "1");
    visit.end();
}
