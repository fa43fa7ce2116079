//! Random commands, one after the other, against the rules.

use crate::kit::checks::Subject;
use crate::kit::failure::Verdict;
use crate::kit::mix::Mix;
use crate::kit::random::Random;

/// Thousands of random commands on a few keys, with time passing, do what the rules say.
pub fn random_commands_agree_with_the_rules(subject: &Subject<'_>) -> Verdict {
    (0..4u64).try_for_each(|seed| {
        subject
            .drive(|driver| {
                let mut random = Random::part(0x5eed, seed);
                let mut mix = Mix::everything(6).within(subject.words(driver));
                for _ in 0..600 {
                    if random.chance(1, 10) {
                        driver.clock().advance(1 + random.below(3) as u32);
                    }
                    let command = mix.command(&mut random, driver.now());
                    let outcome = driver.run(command.clone())?;
                    mix.learn(&command, &outcome);
                }
                Ok(())
            })
            .map_err(|failure| failure.within(&format!("random commands of seed {seed}")))
    })
}
