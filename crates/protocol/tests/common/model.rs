//! What a memcached server does with its items, in the plainest way: for tests of the codecs.

use std::collections::BTreeMap;

use larder_protocol::{
    Admin, Arithmetic, Command, Debug, Delete, Direction, ExpTime, Expiry, Form, Hit, Lookup, MetaForm,
    Number, ProtocolError, Request, Response, SlabsCommand, Store, StoreMode, Stored, Value, encode,
};

/// The model's clock stands still.
const NOW_UNIX_SECONDS: u32 = 1_800_000_000;

#[derive(Clone, Default)]
struct Item {
    value: Vec<u8>,
    flags: u32,
    expires_at: Option<u32>,
    cas: u64,
    is_stale: bool,
    is_token_out: bool,
    is_fetched: bool,
}

#[derive(Default)]
pub struct Model {
    items: BTreeMap<Vec<u8>, Item>,
    last_cas: u64,
}

fn expires_at(exptime: ExpTime) -> Option<u32> {
    match exptime.resolve(NOW_UNIX_SECONDS) {
        Expiry::Never => None,
        Expiry::At(unix_seconds) => Some(unix_seconds),
        Expiry::Past => Some(0),
    }
}

impl Item {
    fn ttl(&self) -> Option<u32> {
        self.expires_at.map(|at| at.saturating_sub(NOW_UNIX_SECONDS))
    }
}

impl Model {
    /// Executes the request, appends the answer; says whether the connection is to be closed.
    pub fn execute(&mut self, request: &Request<'_>, out: &mut Vec<u8>) -> bool {
        let form = &request.form;
        match request.command {
            Command::Get(get) => {
                for key in get.keys {
                    let lookup = Lookup { touch: get.touch, ..plain_lookup(key) };
                    self.lookup(&lookup, form, out);
                }
                encode(form, &Response::End, out);
            }
            Command::Lookup(lookup) => self.lookup(&lookup, form, out),
            Command::Stats { argument } => stats(argument, form, out),
            Command::Quit => {
                encode(form, &Response::Quit, out);
                return true;
            }
            Command::MetaDebug { key } => self.debug(key, form, out),
            command => {
                let response = self.change(&command);
                encode(form, &response, out);
            }
        }
        false
    }

    fn change(&mut self, command: &Command<'_>) -> Response<'static> {
        match *command {
            Command::Store(store) => self.store(&store),
            Command::TooLarge(refused) => {
                if refused.removes_old {
                    self.items.remove(refused.key);
                }
                Response::Error(ProtocolError::ValueTooLarge)
            }
            Command::Delete(delete) => self.delete(&delete),
            Command::Arithmetic(change) => self.arithmetic(&change),
            Command::Touch(touch) => match self.live(touch.key) {
                Some(item) => {
                    item.expires_at = expires_at(touch.exptime);
                    Response::Touched
                }
                None => Response::NotFound,
            },
            Command::Flush { delay } => {
                if delay.flush_at(NOW_UNIX_SECONDS).is_none() {
                    self.items.clear();
                }
                Response::Ok
            }
            Command::Version => Response::Version("1.6.18"),
            Command::Noop => Response::Noop,
            Command::Verbosity { .. } | Command::CacheMemlimit { .. } => Response::Ok,
            Command::Shutdown(_) => Response::Error(ProtocolError::ShutdownNotEnabled),
            Command::Admin(Admin::Slabs(SlabsCommand::Reassign)) => {
                Response::Error(ProtocolError::SlabReassignmentDisabled)
            }
            Command::Admin(Admin::DebugTime(_)) | Command::Sasl(_) | Command::Raw { .. } => {
                Response::Error(ProtocolError::UnknownCommand)
            }
            Command::Admin(_) => Response::Ok,
            Command::Invalid(error) => Response::Error(error),
            other => panic!("{other:?} is not executed here"),
        }
    }

    fn live(&mut self, key: &[u8]) -> Option<&mut Item> {
        self.items.retain(|_, item| item.expires_at.is_none_or(|at| at > NOW_UNIX_SECONDS));
        self.items.get_mut(key)
    }

    fn next_cas(&mut self) -> u64 {
        self.last_cas += 1;
        self.last_cas
    }

    fn lookup(&mut self, lookup: &Lookup<'_>, form: &Form<'_>, out: &mut Vec<u8>) {
        let (mut won, mut is_made) = (false, false);
        if let Some(exptime) = lookup.vivify
            && self.live(lookup.key).is_none()
        {
            let cas = self.next_cas();
            let item = Item {
                expires_at: expires_at(exptime),
                cas: lookup.new_cas.unwrap_or(cas),
                is_token_out: true,
                ..Item::default()
            };
            self.items.insert(lookup.key.to_vec(), item);
            (won, is_made) = (true, true);
        }
        let Some(item) = self.items.get_mut(lookup.key).filter(|item| item.ttl() != Some(0)) else {
            encode(form, &Response::Miss { key: lookup.key }, out);
            return;
        };
        let ttl_before = item.ttl();
        let won_by_other = item.is_token_out && !won;
        let limit = lookup.recache_seconds.and_then(|seconds| expires_at(ExpTime(seconds)));
        let is_due = limit.zip(item.expires_at).is_some_and(|(limit, expires_at)| expires_at < limit);
        if (item.is_stale || is_due) && !item.is_token_out {
            won = true;
            item.is_token_out = true;
        }
        // What was just made has the expiry that the line says.
        if let Some(exptime) = lookup.touch.filter(|_| !is_made) {
            item.expires_at = expires_at(exptime);
        }
        let value = if lookup.sends_value(item.cas) {
            Value::Bytes(&item.value)
        } else {
            Value::Unsent { len: item.value.len() }
        };
        let hit = Hit {
            ttl: item.ttl(),
            ttl_before,
            fetched: item.is_fetched,
            won,
            won_by_other,
            stale: item.is_stale,
            ..Hit::new(lookup.key, item.flags, item.cas, value)
        };
        encode_three_ways(form, &hit, out);
        item.is_fetched |= lookup.bump;
    }

    fn store(&mut self, store: &Store<'_>) -> Response<'static> {
        let old = self.live(store.key).cloned();
        let mut is_older = false;
        if let Some(compare) = store.compare {
            match &old {
                None if matches!(store.mode, StoreMode::Append | StoreMode::Prepend) => {}
                None => return Response::NotFound,
                Some(old) if store.older_marks_stale && compare < old.cas => is_older = true,
                Some(old) if compare != old.cas => return Response::Exists,
                Some(_) => {}
            }
        }
        let fresh = Item {
            value: store.value.to_vec(),
            flags: store.flags,
            expires_at: expires_at(store.exptime),
            ..Item::default()
        };
        let mut item = match (store.mode, &old) {
            (StoreMode::Set, _) | (StoreMode::Add, None) | (StoreMode::Replace, Some(_)) => fresh,
            (StoreMode::Append, Some(old)) => {
                Item { value: [&old.value, store.value].concat(), is_fetched: false, ..old.clone() }
            }
            (StoreMode::Prepend, Some(old)) => {
                Item { value: [store.value, &old.value].concat(), is_fetched: false, ..old.clone() }
            }
            (StoreMode::Append | StoreMode::Prepend, None) if store.vivify.is_some() => {
                Item { expires_at: store.vivify.and_then(expires_at), ..fresh }
            }
            _ => return Response::NotStored,
        };
        if is_older && let Some(old) = &old {
            item.expires_at = old.expires_at;
        }
        item.is_stale = is_older;
        item.is_token_out = is_older && old.is_some_and(|old| old.is_token_out);
        item.cas = self.next_cas();
        if let Some(cas) = store.new_cas {
            item.cas = cas;
        }
        let stored = Stored { cas: item.cas, value_bytes: item.value.len() };
        self.items.insert(store.key.to_vec(), item);
        Response::Stored(stored)
    }

    fn delete(&mut self, delete: &Delete<'_>) -> Response<'static> {
        let cas = self.next_cas();
        let Some(item) = self.live(delete.key) else {
            return Response::NotFound;
        };
        if delete.compare.is_some_and(|compare| compare != item.cas) {
            return Response::Exists;
        }
        if !delete.mark_stale && !delete.drop_value {
            self.items.remove(delete.key);
            return Response::Deleted;
        }
        if delete.mark_stale {
            item.is_stale = true;
            item.is_token_out = false;
        }
        if delete.drop_value {
            item.value.clear();
            item.flags = delete.flags;
        }
        if let Some(exptime) = delete.touch {
            item.expires_at = expires_at(exptime);
        }
        item.cas = delete.new_cas.unwrap_or(cas);
        Response::Deleted
    }

    fn arithmetic(&mut self, change: &Arithmetic<'_>) -> Response<'static> {
        let fresh_cas = self.next_cas();
        let cas = change.new_cas.unwrap_or(fresh_cas);
        let Some(item) = self.live(change.key) else {
            let Some((initial, exptime)) = change.vivify else {
                return Response::NotFound;
            };
            let value = initial.to_string().into_bytes();
            let item = Item { value, expires_at: expires_at(exptime), cas, ..Item::default() };
            let ttl = item.ttl();
            self.items.insert(change.key.to_vec(), item);
            return Response::Number(Number { value: initial, cas, ttl, ttl_before: ttl });
        };
        if change.compare.is_some_and(|compare| compare != item.cas) {
            return Response::Exists;
        }
        let text = std::str::from_utf8(&item.value).ok();
        let Some(number) = text.and_then(|text| text.trim().parse::<u64>().ok()) else {
            return Response::Error(ProtocolError::NonNumeric);
        };
        let value = match change.direction {
            Direction::Increment => number.wrapping_add(change.delta),
            Direction::Decrement => number.saturating_sub(change.delta),
        };
        item.value = value.to_string().into_bytes();
        item.cas = cas;
        let ttl_before = item.ttl();
        if let Some(exptime) = change.touch {
            item.expires_at = expires_at(exptime);
        }
        Response::Number(Number { value, cas, ttl: item.ttl(), ttl_before })
    }

    fn debug(&mut self, key: &[u8], form: &Form<'_>, out: &mut Vec<u8>) {
        let response = match self.live(key) {
            None => Response::Miss { key },
            Some(item) => Response::Debug(Debug {
                ttl: item.ttl(),
                last_access_seconds: 0,
                cas: item.cas,
                fetched: item.is_fetched,
                class: 1,
                item_bytes: item.value.len(),
            }),
        };
        encode(form, &response, out);
    }
}

fn plain_lookup(key: &[u8]) -> Lookup<'_> {
    Lookup {
        key,
        touch: None,
        vivify: None,
        recache_seconds: None,
        new_cas: None,
        unless_cas: None,
        bump: true,
        value: true,
    }
}

fn stats(argument: &[u8], form: &Form<'_>, out: &mut Vec<u8>) {
    match argument {
        b"" => {
            encode(form, &Response::Stat { name: b"version", value: b"1.6.18" }, out);
            encode(form, &Response::StatEnd, out);
        }
        b"reset" => {
            encode(form, &Response::Reset, out);
        }
        _ => {
            encode(form, &Response::Error(ProtocolError::UnknownCommand), out);
        }
    }
}

/// The answer is the same however the value is handed over.
fn encode_three_ways(form: &Form<'_>, hit: &Hit<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    let is_sent = encode(form, &Response::Hit(*hit), out);
    let Value::Bytes(value) = hit.value else { return };
    let answer = out[start..].to_vec();

    let (left, right) = value.split_at(value.len() / 2);
    let mut in_pieces = Vec::new();
    let hit_in_pieces = Hit { value: Value::Pieces(&[left, right]), ..*hit };
    assert_eq!(encode(form, &Response::Hit(hit_in_pieces), &mut in_pieces), is_sent);
    assert_eq!(in_pieces, answer);

    let mut detached = Vec::new();
    let hit_detached = Hit { value: Value::Detached { len: value.len() }, ..*hit };
    if encode(form, &Response::Hit(hit_detached), &mut detached) {
        detached.extend_from_slice(value);
        larder_protocol::encode_after_value(form, &mut detached);
        assert!(is_sent);
    }
    assert_eq!(detached, answer);
    if let Form::Meta(MetaForm { flags, .. }) = form {
        assert_eq!(is_sent, flags.has(b'v'));
    }
}
