//! `-o NAME[=VALUE],…`: memcached's many small settings, each a line of [`NAMES`].

use super::super::draft::{Draft, Placed};
use super::super::report::{Objection, Place, objection};
use super::super::{guard, limits, suggest};
use super::{Reader, number};

/// What becomes of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It does this.
    Does(&'static str),
    /// It is taken as memcached takes it, and has no effect.
    Taken,
    /// memcached has it and larder does not do it, so it is refused.
    Refused,
}

/// A name that `-o` takes.
pub struct Name {
    /// The name.
    pub name: &'static str,
    /// What stands for its value in the help; `None`: it has none.
    pub value: Option<&'static str>,
    /// What it does here.
    pub does: Effect,
    set: fn(&mut Draft, &Placed<&str>) -> Result<(), Objection>,
}

type Set = fn(&mut Draft, &Placed<&str>) -> Result<(), Objection>;

const fn honoured(name: &'static str, value: Option<&'static str>, does: &'static str, set: Set) -> Name {
    Name { name, value, does: Effect::Does(does), set }
}

const fn accepted(name: &'static str, value: Option<&'static str>, set: Set) -> Name {
    Name { name, value, does: Effect::Taken, set }
}

/// A name that is known so that the refusal says why.
const fn refused(name: &'static str) -> Name {
    let set: Set = |_, _| {
        Err(objection("larder does not do this", "leave it out: larder does as memcached does without it"))
    };
    Name { name, value: None, does: Effect::Refused, set }
}

const N: Option<&str> = Some("N");
const FILE: Option<&str> = Some("FILE");
const SECONDS: Option<&str> = Some("SECONDS");

/// Every name, in the order of the help.
pub const NAMES: &[Name] = &[
    honoured("idle_timeout", SECONDS, "close connections silent for so long; 0: none", |draft, text| {
        let seconds = whole(text, 0, limits::IDLE_SECONDS_MAX)?;
        let value = std::time::Duration::from_secs(seconds);
        draft.idle_timeout = Some(Placed { value, place: text.place });
        Ok(())
    }),
    honoured("maxconns_fast", None, "tell a client too many so and close it (the default)", |draft, _| {
        draft.service.refuse_connections_fast = true;
        Ok(())
    }),
    honoured("no_maxconns_fast", None, "let clients too many wait until others leave", |draft, _| {
        draft.service.refuse_connections_fast = false;
        Ok(())
    }),
    honoured(
        "read_buf_mem_limit",
        Some("MIB"),
        "values and long lines being received, and answers not taken, over all connections; 0: 256",
        |draft, text| {
            let megabytes = whole(text, 0, limits::BYTES_IN_FLIGHT_MAX >> 20)?;
            draft.service.bytes_in_flight_max = (megabytes > 0).then_some(megabytes << 20);
            Ok(())
        },
    ),
    honoured("lru_crawler", None, "obey `lru_crawler` commands (the default)", |draft, _| {
        draft.service.accepted.lru_crawler = true;
        Ok(())
    }),
    honoured("no_lru_crawler", None, "refuse `lru_crawler crawl`", |draft, _| {
        draft.service.accepted.lru_crawler = false;
        Ok(())
    }),
    honoured(
        "lru_crawler_sleep",
        Some("MICROSECONDS"),
        "as the command `lru_crawler sleep`",
        |draft, text| {
            draft.service.accepted.lru_crawler_sleep_us = whole(text, 0, 1_000_000)? as u32;
            Ok(())
        },
    ),
    honoured("lru_crawler_tocrawl", N, "as the command `lru_crawler tocrawl`", |draft, text| {
        draft.service.accepted.lru_crawler_to_crawl = number_32(text)?;
        Ok(())
    }),
    honoured("ssl_chain_cert", FILE, "TLS: the certificate and those above it, PEM", |draft, text| {
        draft.guard.certificate_chain = Some(path(text)?);
        Ok(())
    }),
    honoured("ssl_key", FILE, "TLS: its key, if it is not in the same file", |draft, text| {
        draft.guard.key = Some(path(text)?);
        Ok(())
    }),
    honoured("ssl_keyformat", Some("PEM|DER"), "TLS: how the key is written; default PEM", |draft, text| {
        draft.guard.key_format = Some(guard::parse_key_format(text.value)?);
        Ok(())
    }),
    honoured(
        "ssl_verify_mode",
        Some("0|1|2|3"),
        "TLS: 0: clients need no certificate, 1: may show one, 2 and 3: must; default 0",
        |draft, text| {
            let value = guard::parse_verify_mode(text.value)?;
            draft.guard.clients = Some(Placed { value, place: text.place });
            Ok(())
        },
    ),
    honoured("ssl_ca_cert", FILE, "TLS: the authorities whose clients are known, PEM", |draft, text| {
        draft.guard.client_authorities = Some(path(text)?);
        Ok(())
    }),
    honoured(
        "ssl_ciphers",
        Some("NAME:NAME"),
        "TLS: the ciphers of TLS 1.2 that may be used",
        |draft, text| {
            draft.guard.ciphers = Some(guard::parse_cipher_list(text.value)?);
            Ok(())
        },
    ),
    honoured("ssl_session_cache", None, "TLS: let clients take up earlier sessions", |draft, _| {
        draft.guard.session_cache = Some(true);
        Ok(())
    }),
    honoured(
        "ssl_min_version",
        Some("0|1|2|3"),
        "TLS: 3: version 1.3 only; below: 1.2 too, and nothing older; default 2",
        |draft, text| {
            draft.guard.version_min = Some(guard::parse_min_version(text.value)?);
            Ok(())
        },
    ),
    honoured(
        "sasl_pwdb",
        FILE,
        "SASL: user:password lines, instead of MEMCACHED_SASL_PWDB",
        |draft, text| {
            draft.guard.sasl_passwords = Some(path(text)?);
            Ok(())
        },
    ),
    accepted("ssl_wbuf_size", Some("KIB"), |draft, text| {
        draft.guard.write_buffer_bytes = Some((whole(text, 1, 1 << 20)? << 10) as usize);
        Ok(())
    }),
    honoured("drop_privileges", None, "give up, once started, ever gaining a privilege again", |draft, _| {
        draft.process.drop_privileges = true;
        Ok(())
    }),
    honoured("no_drop_privileges", None, "do not (the default)", |draft, _| {
        draft.process.drop_privileges = false;
        Ok(())
    }),
    honoured("relaxed_privileges", None, "the same as no_drop_privileges", |draft, _| {
        draft.process.drop_privileges = false;
        Ok(())
    }),
    honoured("debug_commands", None, "for tests: obey `debugtime`, which moves the clock", |draft, _| {
        draft.service.debug_commands = true;
        Ok(())
    }),
    honoured("modern", None, "the default", |_, _| Ok(())),
    honoured(
        "no_modern",
        None,
        "the defaults of memcached 1.4: no_maxconns_fast, no_lru_crawler",
        |draft, _| {
            let service = &mut draft.service;
            service.refuse_connections_fast = false;
            service.accepted.lru_crawler = false;
            service.accepted.lru_maintainer = Some(false);
            service.accepted.hash_algorithm = "jenkins";
            Ok(())
        },
    ),
    honoured(
        "watcher_logbuf_size",
        Some("KIB"),
        "lines of `watch` kept for a client that is slow to read them; default 256",
        |draft, text| {
            draft.service.watcher_buffer_bytes = whole(text, 1, limits::LOG_BUFFER_KIB_MAX)? << 10;
            Ok(())
        },
    ),
    accepted("worker_logbuf_size", Some("KIB"), |draft, text| {
        draft.service.worker_log_buffer_bytes = whole(text, 1, limits::LOG_BUFFER_KIB_MAX)? << 10;
        Ok(())
    }),
    accepted("hashpower", N, |draft, text| {
        draft.service.accepted.hash_power = whole(text, 12, 32)? as u32;
        Ok(())
    }),
    accepted("no_hashexpand", None, |_, _| Ok(())),
    accepted("tail_repair_time", SECONDS, |draft, text| {
        draft.service.accepted.tail_repair_seconds = whole(text, 10, limits::IDLE_SECONDS_MAX)? as u32;
        Ok(())
    }),
    accepted("hash_algorithm", Some("jenkins|murmur3|xxh3"), |draft, text| {
        draft.service.accepted.hash_algorithm = match text.value {
            "jenkins" => "jenkins",
            "murmur3" => "murmur3",
            "xxh3" => "xxh3",
            other => {
                let problem = format!("`{other}` is no hash algorithm");
                return Err(objection(problem, "write jenkins, murmur3 or xxh3"));
            }
        };
        Ok(())
    }),
    accepted("lru_maintainer", None, |draft, _| {
        draft.service.accepted.lru_maintainer = Some(true);
        draft.service.accepted.lru_segmented = true;
        Ok(())
    }),
    accepted("no_lru_maintainer", None, |draft, _| {
        draft.service.accepted.lru_maintainer = Some(false);
        draft.service.accepted.lru_segmented = false;
        Ok(())
    }),
    accepted("hot_lru_pct", Some("PERCENT"), |draft, text| {
        draft.service.accepted.hot_percent = whole(text, 1, 80)? as u32;
        Ok(())
    }),
    accepted("warm_lru_pct", Some("PERCENT"), |draft, text| {
        draft.service.accepted.warm_percent = whole(text, 1, 80)? as u32;
        Ok(())
    }),
    accepted("hot_max_factor", Some("FACTOR"), |draft, text| {
        draft.service.accepted.hot_factor = hundredths(text.value, 0.0)?;
        Ok(())
    }),
    accepted("warm_max_factor", Some("FACTOR"), |draft, text| {
        draft.service.accepted.warm_factor = hundredths(text.value, 0.0)?;
        Ok(())
    }),
    accepted("temporary_ttl", SECONDS, |draft, text| {
        draft.service.accepted.temporary_ttl_seconds = Some(number_32(text)?);
        Ok(())
    }),
    accepted("slab_reassign", None, |draft, _| {
        draft.service.accepted.slab_reassign = true;
        Ok(())
    }),
    accepted("no_slab_reassign", None, |draft, _| {
        draft.service.accepted.slab_reassign = false;
        Ok(())
    }),
    accepted("slab_automove", Some("0|1|2"), |draft, text| {
        // memcached takes the bare name for 1.
        draft.service.accepted.slab_automove =
            if text.value.is_empty() { 1 } else { whole(text, 0, 2)? as u32 };
        Ok(())
    }),
    accepted("no_slab_automove", None, |draft, _| {
        draft.service.accepted.slab_automove = 0;
        Ok(())
    }),
    accepted("slab_automove_ratio", Some("RATIO"), |draft, text| {
        draft.service.accepted.slab_automove_ratio = hundredths(text.value, 0.0)?;
        Ok(())
    }),
    accepted("slab_automove_window", SECONDS, |draft, text| {
        draft.service.accepted.slab_automove_window = whole(text, 3, limits::IDLE_SECONDS_MAX)? as u32;
        Ok(())
    }),
    accepted("slab_automove_freeratio", Some("RATIO"), |_, text| hundredths(text.value, 0.0).map(drop)),
    accepted("slab_chunk_max", Some("KIB"), |draft, text| {
        draft.service.accepted.slab_chunk_bytes_max = (whole(text, 1, 1 << 20)? << 10) as u32;
        Ok(())
    }),
    accepted("chunked_items", None, |_, _| Ok(())),
    accepted("no_chunked_items", None, |_, _| Ok(())),
    accepted("inline_ascii_resp", None, |draft, _| {
        draft.service.accepted.inline_ascii_response = true;
        Ok(())
    }),
    accepted("no_inline_ascii_resp", None, |draft, _| {
        draft.service.accepted.inline_ascii_response = false;
        Ok(())
    }),
    refused("track_sizes"),
];

/// Names whose value memcached does not insist on.
const VALUE_MAY_BE_ABSENT: &[&str] = &["slab_automove"];

/// The text of `--help`.
pub fn help() -> String {
    let mut text = "memcached's small settings, separated by commas:".to_owned();
    for Name { name, value, does, .. } in NAMES {
        if let Effect::Does(does) = does {
            let value = value.map_or(String::new(), |value| format!("={value}"));
            text.push_str(&format!("\n  {name}{value}: {does}"));
        }
    }
    let accepted: Vec<_> =
        NAMES.iter().filter(|name| name.does == Effect::Taken).map(|name| name.name).collect();
    text.push_str(&format!("\nTaken without effect: {}", accepted.join(", ")));
    text
}

impl Reader<'_> {
    /// Reads every `-o`.
    pub(super) fn extended(&mut self, given: &[String], draft: &mut Draft) {
        for list in given {
            let whole = self.report.add_option("--extended", list);
            let mut start = 0;
            for setting in list.split(',') {
                let place = whole.part(start..start + setting.len());
                start += setting.len() + 1;
                let outcome = set(setting, place, draft);
                self.report.take(place, outcome);
            }
        }
    }
}

fn set(setting: &str, place: Place, draft: &mut Draft) -> Result<(), Objection> {
    let (name, value) = match setting.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (setting, None),
    };
    let Some(known) = NAMES.iter().find(|known| known.name == name) else {
        let advice = suggest::advice(name, NAMES.iter().map(|known| known.name));
        return Err(objection(format!("unknown setting `{name}`"), advice));
    };
    match (known.value, value) {
        (Some(what), None | Some("")) if !VALUE_MAY_BE_ABSENT.contains(&name) => {
            return Err(objection(format!("`{name}` has no value"), format!("write {name}={what}")));
        }
        (None, Some(value)) => {
            return Err(objection(
                format!("`{name}` takes no value, but has `{value}`"),
                format!("write {name}"),
            ));
        }
        _ => {}
    }
    (known.set)(draft, &Placed { value: value.unwrap_or_default(), place })?;
    if known.does == Effect::Taken {
        draft.service.without_effect.push(format!("-o {name}"));
    }
    Ok(())
}

fn path(text: &Placed<&str>) -> Result<Placed<std::path::PathBuf>, Objection> {
    Ok(Placed { value: guard::parse_path(text.value)?, place: text.place })
}

/// A whole number between two bounds.
fn whole(text: &Placed<&str>, least: u64, most: u64) -> Result<u64, Objection> {
    let value = limits::count("this setting", number(text.value)?, least.into(), most.into())?;
    Ok(u64::try_from(value).expect("the range was checked"))
}

fn number_32(text: &Placed<&str>) -> Result<u32, Objection> {
    whole(text, 0, u32::MAX.into()).map(|number| u32::try_from(number).expect("the range was checked"))
}

/// A fraction above `above`, in hundredths.
pub(super) fn hundredths(text: &str, above: f64) -> Result<u32, Objection> {
    const MOST: f64 = 1_000_000.0;
    match text.parse::<f64>() {
        Ok(number) if number > above && number <= MOST => Ok((number * 100.0).round() as u32),
        _ => Err(objection(
            format!("`{text}` is no number above {above}"),
            format!("write one from above {above} to {MOST}, as in 1.25"),
        )),
    }
}
