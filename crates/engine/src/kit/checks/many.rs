//! Several keys in one call.

use crate::kit::checks::Subject;
use crate::kit::command::{Outcome, get_with, set};
use crate::kit::failure::{Failure, Verdict, require};
use crate::request::Get;
use crate::time::Expiry;

/// Each key is answered under its own index: hits, misses, duplicates, large values, in the order asked.
pub fn get_many_answers_by_index(subject: &Subject<'_>) -> Verdict {
    subject.drive(|driver| {
        let soon = Expiry::at(driver.now().0 + 1);
        for number in 0..120u32 {
            let length = if number % 40 == 0 { 200_000 } else { number as usize };
            let expiry = if number % 7 == 0 { soon } else { Expiry::NEVER };
            let key = format!("key{number}");
            driver.stored(set(key.as_bytes(), &vec![number as u8; length]).flags(number).expiry(expiry))?;
        }
        driver.clock().advance(1);
        let names: Vec<String> = (0..400u32).map(|index| format!("key{}", index * 37 % 150)).collect();
        let sizes = [0, 1, 2, 3, 100, names.len()];
        let touching = Get { touch: Some(Expiry::at(driver.now().0 + 500)), ..Get::plain() };
        for (count, get) in sizes.into_iter().flat_map(|count| [(count, Get::plain()), (count, touching)]) {
            let keys: Vec<&[u8]> = names[..count].iter().map(String::as_bytes).collect();
            let outcomes = driver.executor().block_on(driver.client().get_many(&keys, &get));
            if let Some(Outcome::Breach(breach)) = outcomes.first() {
                return Err(Failure::new(breach.clone()));
            }
            require(outcomes.len() == count, || {
                format!("get_many of {count} keys gave {} answers", outcomes.len())
            })?;
            for (key, outcome) in keys.iter().zip(&outcomes) {
                driver.judge(&get_with(key, get), outcome).map_err(|failure| failure.within("get_many"))?;
            }
        }
        Ok(())
    })
}
