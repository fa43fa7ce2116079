//! The right to refill an item: stale marks, recache, vivify.

use crate::item::Token;
use crate::kit::checks::Subject;
use crate::kit::command::{Command, delete_with, get_with, set, touch};
use crate::kit::driver::Driver;
use crate::kit::failure::{Failure, Verdict, require};
use crate::request::{Delete, Get, Vivify};
use crate::time::Expiry;

const MARK: Delete =
    Delete { mark_stale: true, compare: None, new_cas: None, drop_value: None, expiry: None };

fn with_tokens(key: &[u8]) -> Command {
    get_with(key, Get { tokens: true, ..Get::plain() })
}

fn token(driver: &mut Driver, command: Command, due: Token) -> Verdict {
    let words = command.to_string();
    let token = driver.hit(command)?.0.token;
    require(token == due, || format!("{words}\n  expected: token {due:?}\n  got:      token {token:?}"))
}

/// A stale item gives its first reader the token, all later ones none, until it is stored anew.
pub fn stale_items_give_one_token(subject: &Subject<'_>) -> Verdict {
    subject.drive(|driver| {
        driver.stored(set(b"k", b"old"))?;
        token(driver, with_tokens(b"k"), Token::Free)?;
        driver.deleted(delete_with(b"k", MARK))?;
        // A reader that does not take part gets and takes no token.
        token(driver, get_with(b"k", Get::plain()), Token::Free)?;
        token(driver, with_tokens(b"k"), Token::Won)?;
        token(driver, with_tokens(b"k"), Token::Taken)?;
        let expiry = Expiry::at(driver.now().0 + 20);
        driver.run(touch(b"k", expiry))?;
        token(driver, with_tokens(b"k"), Token::Taken)?;
        driver.stored(set(b"k", b"new"))?;
        token(driver, with_tokens(b"k"), Token::Free)?;
        driver.holds(b"k", b"new").map(drop)
    })
}

/// An item about to expire gives its token to one reader who asks for it.
pub fn tokens_are_given_before_expiry(subject: &Subject<'_>) -> Verdict {
    subject.drive(|driver| {
        let recache =
            |below| get_with(b"k", Get { tokens: true, recache_below: Some(below), ..Get::plain() });
        let expiry = Expiry::at(driver.now().0 + 30);
        driver.stored(set(b"k", b"v").expiry(expiry))?;
        token(driver, recache(30), Token::Free)?;
        driver.clock().advance(1);
        token(driver, recache(29), Token::Free)?;
        token(driver, recache(30), Token::Won)?;
        token(driver, recache(30), Token::Taken)?;
        token(driver, with_tokens(b"k"), Token::Taken)?;
        driver.stored(set(b"k", b"v"))?;
        token(driver, recache(u32::MAX), Token::Free)
            .map_err(|failure: Failure| failure.within("an item that never expires needs no refill"))
    })
}

/// vivify creates an empty item on a miss and gives its token to whoever caused that.
pub fn vivify_creates_on_a_miss(subject: &Subject<'_>) -> Verdict {
    subject.drive(|driver| {
        let expiry = Expiry::at(driver.now().0 + 10);
        let vivify = |key: &[u8], new_cas| {
            let vivify = Some(Vivify { expiry, new_cas });
            get_with(key, Get { tokens: true, vivify, ..Get::plain() })
        };
        token(driver, vivify(b"k", None), Token::Won)?;
        token(driver, vivify(b"k", None), Token::Taken)?;
        driver.holds(b"k", b"")?;
        let chosen = driver.hit(vivify(b"chosen", Some(99)))?.0;
        require(chosen.cas == 99, || format!("vivify with new_cas=99 gave CAS {}", chosen.cas))?;
        driver.stored(set(b"k", b"filled").expiry(expiry))?;
        token(driver, vivify(b"k", None), Token::Free)?;
        driver.clock().advance(10);
        driver.misses(b"chosen")?;
        token(driver, vivify(b"k", None), Token::Won)
            .map_err(|failure: Failure| failure.within("vivify on an expired item"))
    })
}
