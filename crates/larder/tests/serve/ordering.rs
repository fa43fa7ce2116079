//! A connection's answers come in the order of its requests, and each sees what the requests before it did, however
//! slow some of them are.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::support::random::Random;
use crate::support::stacks::Stack;

crate::each_stack!(
    a_pipeline_of_everything_is_answered_in_order,
    cold_and_hot_keys_are_answered_in_order,
    a_pipeline_reads_its_own_writes,
    two_connections_see_each_others_acknowledged_writes,
);

/// What a key holds, as one connection alone must see it.
#[derive(Default)]
struct Model {
    items: HashMap<String, (u32, String)>,
    answers: String,
    requests: String,
}

impl Model {
    fn ask(&mut self, request: &str, answer: &str) {
        self.requests += request;
        self.answers += answer;
    }

    fn store(&mut self, command: &str, key: &str, flags: u32, value: &str) {
        let there = self.items.get(key).cloned();
        let next = match (command, there) {
            ("set", _) | ("add", None) | ("replace", Some(_)) => Some((flags, value.to_owned())),
            ("append", Some((flags, old))) => Some((flags, old + value)),
            ("prepend", Some((flags, old))) => Some((flags, value.to_owned() + &old)),
            _ => None,
        };
        let answer = if next.is_some() { "STORED\r\n" } else { "NOT_STORED\r\n" };
        if let Some(next) = next {
            self.items.insert(key.to_owned(), next);
        }
        let length = value.len();
        self.ask(&format!("{command} {key} {flags} 0 {length}\r\n{value}\r\n"), answer);
    }

    fn get(&mut self, keys: &[String]) {
        let mut answer = String::new();
        for key in keys {
            if let Some((flags, value)) = self.items.get(key) {
                write!(answer, "VALUE {key} {flags} {}\r\n{value}\r\n", value.len()).unwrap();
            }
        }
        self.ask(&format!("get {}\r\n", keys.join(" ")), &(answer + "END\r\n"));
    }

    fn meta_get(&mut self, key: &str) {
        let answer = match self.items.get(key) {
            Some((flags, value)) => format!("VA {} f{flags} k{key}\r\n{value}\r\n", value.len()),
            None => format!("EN k{key}\r\n"),
        };
        self.ask(&format!("mg {key} v f k\r\n"), &answer);
    }

    fn increment(&mut self, key: &str, delta: u64) {
        let answer = match self.items.get_mut(key) {
            None => "NOT_FOUND\r\n".to_owned(),
            Some((_, value)) => match value.parse::<u64>() {
                Ok(number) if value.len() <= 20 => {
                    *value = number.wrapping_add(delta).to_string();
                    format!("{value}\r\n")
                }
                _ => "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n".to_owned(),
            },
        };
        self.ask(&format!("incr {key} {delta}\r\n"), &answer);
    }

    fn delete(&mut self, key: &str) {
        let answer = if self.items.remove(key).is_some() { "DELETED\r\n" } else { "NOT_FOUND\r\n" };
        self.ask(&format!("delete {key}\r\n"), answer);
    }

    fn random_step(&mut self, random: &mut Random, keys: usize) {
        let mut key = || format!("k{}", random.below(keys));
        let (one, many) = (key(), vec![key(), key(), key()]);
        let number = random.below(1000);
        match random.below(12) {
            0..=2 => self.get(&[one]),
            3 => self.get(&many),
            4 => self.meta_get(&one),
            5 | 6 => self.store("set", &one, number as u32, &number.to_string()),
            7 => {
                let command = ["add", "replace", "append", "prepend"][number % 4];
                self.store(command, &one, number as u32, &(number % 10).to_string());
            }
            8 => self.store("set", &one, 1, &"long ".repeat(number)),
            9 => self.increment(&one, number as u64),
            10 => self.delete(&one),
            _ if number < 30 => {
                self.items.clear();
                self.ask("flush_all\r\n", "OK\r\n");
            }
            _ => self.ask("mn\r\n", "MN\r\n"),
        }
    }
}

fn a_pipeline_of_everything_is_answered_in_order(stack: Stack) {
    const BATCHES: u64 = 12;
    const REQUESTS: usize = 300;
    const KEYS: usize = 40;
    let running = stack.start();
    let mut client = running.connect();
    let mut model = Model::default();
    for batch in 0..BATCHES {
        let mut random = Random::new(batch);
        for _ in 0..REQUESTS {
            model.random_step(&mut random, KEYS);
        }
        client.ask(std::mem::take(&mut model.requests), std::mem::take(&mut model.answers));
        running.cool(&mut client);
    }
    running.server.stop_cleanly();
}

fn cold_and_hot_keys_are_answered_in_order(stack: Stack) {
    const KEYS: usize = 1500;
    const REQUESTS: usize = 3000;
    let running = stack.start();
    let mut client = running.connect();
    let mut model = Model::default();
    for key in 0..KEYS {
        model.store("set", &format!("k{key}"), key as u32, &format!("{key}.{}", "v".repeat(400)));
    }
    client.ask(std::mem::take(&mut model.requests), std::mem::take(&mut model.answers));
    let mut random = Random::new(7);
    for _ in 0..REQUESTS {
        // Half of the reads are of a few keys that stay in RAM, the others of any.
        let among = if random.below(2) == 0 { 10 } else { KEYS };
        model.get(&[format!("k{}", random.below(among))]);
    }
    client.ask(std::mem::take(&mut model.requests), std::mem::take(&mut model.answers));
    if stack == Stack::SmallRam {
        let (hits, misses) = (client.stack_stat("tier_hits"), client.stack_stat("tier_misses"));
        assert!(hits > 0 && misses > 0, "both kinds of reads: {hits} from RAM, {misses} from the store");
    }
}

fn a_pipeline_reads_its_own_writes(stack: Stack) {
    const ROUNDS: usize = 200;
    let running = stack.start();
    let mut client = running.connect();
    let mut model = Model::default();
    for round in 0..ROUNDS {
        let key = format!("k{}", round % 7);
        model.store("set", &key, 0, &round.to_string());
        model.get(&[key.clone(), format!("k{}", (round + 1) % 7)]);
        model.increment(&key, 1);
        model.meta_get(&key);
        model.store("append", &key, 0, "0");
        model.get(std::slice::from_ref(&key));
        model.delete(&key);
        model.get(std::slice::from_ref(&key));
        model.store("add", &key, 3, "added");
    }
    client.ask(model.requests, model.answers);
}

fn two_connections_see_each_others_acknowledged_writes(stack: Stack) {
    const ROUNDS: usize = 300;
    let running = stack.start();
    let mut one = running.connect();
    let mut other = running.connect();
    for round in 0..ROUNDS {
        let key = format!("k{}", round % 5);
        one.set(&key, &round.to_string());
        assert_eq!(other.get(&key), Some(round.to_string()));
        other.ask(format!("incr {key} 1\r\n"), format!("{}\r\n", round + 1));
        assert_eq!(one.get(&key), Some((round + 1).to_string()));
        if round % 3 == 0 {
            other.ask(format!("delete {key}\r\n"), "DELETED\r\n");
            assert_eq!(one.get(&key), None);
        }
    }
}
