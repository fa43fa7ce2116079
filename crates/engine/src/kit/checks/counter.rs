//! incr and decr.

use crate::error::ErrorKind;
use crate::kit::checks::Subject;
use crate::kit::command::{Command, arithmetic, decrement, increment, set, step};
use crate::kit::driver::Driver;
use crate::kit::failure::{Failure, Verdict, require};
use crate::request::{Arithmetic, Direction, Initial};
use crate::time::Expiry;

fn counts(driver: &mut Driver, command: Command, value: u64) -> Verdict {
    let words = command.to_string();
    let number = driver.number(command)?.value;
    require(number == value, || format!("{words}\n  expected: {value}\n  got:      {number}"))
}

/// Plain counting, and what the item keeps.
pub fn counters_count(subject: &Subject<'_>) -> Verdict {
    subject.drive(|driver| {
        driver.refused(increment(b"n", 1), ErrorKind::NotFound)?;
        driver.refused(decrement(b"n", 1), ErrorKind::NotFound)?;
        driver.misses(b"n")?;
        let expiry = Expiry::at(driver.now().0 + 100);
        driver.stored(set(b"n", b"9").flags(8).expiry(expiry))?;
        counts(driver, increment(b"n", 1), 10)?;
        driver.holds(b"n", b"10")?;
        counts(driver, increment(b"n", 990), 1000)?;
        counts(driver, decrement(b"n", 1), 999)?;
        let found = driver.holds(b"n", b"999")?;
        require((found.flags, found.expiry) == (8, expiry), || "a counter keeps flags and expiry".into())?;
        counts(driver, decrement(b"n", 0), 999)?;
        for value in [&b"007"[..], b" 12", b"12 ", b"  12  ", b"00000000000000000005"] {
            driver.stored(set(b"odd", value))?;
            let number = driver.number(increment(b"odd", 1))?.value;
            require(number == 8 || number == 13 || number == 6, || {
                format!("incr of {value:?} gave {number}")
            })?;
        }
        Ok(())
    })
}

/// Wrapping, the floor, and values that are no numbers.
pub fn counters_have_edges(subject: &Subject<'_>) -> Verdict {
    subject.drive(|driver| {
        driver.stored(set(b"n", b"18446744073709551615"))?;
        counts(driver, increment(b"n", 1), 0)?;
        counts(driver, decrement(b"n", 5), 0)?;
        counts(driver, increment(b"n", u64::MAX), u64::MAX)?;
        driver.holds(b"n", b"18446744073709551615")?;
        counts(driver, increment(b"n", u64::MAX), u64::MAX - 1)?;
        counts(driver, decrement(b"n", u64::MAX), 0)?;
        driver.holds(b"n", b"0")?;
        let not_numbers: [&[u8]; 11] = [
            b"",
            b" ",
            b"x",
            b"1x",
            b"1 2",
            b"-1",
            b"+1",
            b"1.5",
            b"18446744073709551616",
            b"99999999999999999999",
            b"000000000000000000001",
        ];
        for value in not_numbers {
            driver.stored(set(b"word", value))?;
            driver.refused(increment(b"word", 1), ErrorKind::NotNumeric)?;
            driver.refused(decrement(b"word", 1), ErrorKind::NotNumeric)?;
            driver.holds(b"word", value)?;
        }
        driver.stored(set(b"long", &[b'1'; 3000]))?;
        driver.refused(increment(b"long", 1), ErrorKind::NotNumeric)
    })
}

/// Initial value, compare, a chosen CAS, a new expiry.
pub fn counters_take_options(subject: &Subject<'_>) -> Verdict {
    subject.drive(|driver| {
        let expiry = Expiry::at(driver.now().0 + 60);
        let later = Expiry::at(driver.now().0 + 600);
        let up = step(Direction::Increment, 5);
        let created = Arithmetic { initial: Some(Initial { value: 70, expiry }), ..up };
        let number = driver.number(arithmetic(b"n", created))?;
        require(number.created && number.value == 70 && number.expiry == expiry, || {
            format!("a counter that is created answers its initial value and expiry; got {number:?}")
        })?;
        driver.holds(b"n", b"70")?;
        let again = driver.number(arithmetic(b"n", created))?;
        require(!again.created && again.value == 75, || format!("the second time it counts; got {again:?}"))?;
        let wrong = Arithmetic { compare: Some(again.cas + 1), ..up };
        driver.refused(arithmetic(b"n", wrong), ErrorKind::Exists)?;
        let right = Arithmetic { compare: Some(again.cas), expiry: Some(later), new_cas: Some(5), ..up };
        let number = driver.number(arithmetic(b"n", right))?;
        require(number.cas == 5 && number.expiry == later, || {
            format!("a counter takes the CAS and the expiry it is given; got {number:?}")
        })?;
        let most = Arithmetic { initial: Some(Initial { value: u64::MAX, expiry: Expiry::NEVER }), ..up };
        driver.number(arithmetic(b"most", most))?;
        driver.holds(b"most", b"18446744073709551615")?;
        driver.refused(arithmetic(b"none", Arithmetic { compare: Some(1), ..up }), ErrorKind::NotFound)?;
        driver.misses(b"none").map_err(|failure: Failure| failure.within("after an incr on a miss"))
    })
}
