//! The options that only the command line has.

use std::path::PathBuf;

use larder_server::Choice;

use super::super::draft::Draft;
use super::super::limits;
use super::super::report::{Objection, objection};
use super::extended::hundredths;
use super::{Options, Reader, number};

impl Reader<'_> {
    /// How clients are served.
    pub(super) fn service(&mut self, options: &Options, draft: &mut Draft) {
        let backlog = self.value("--listen-backlog", &options.listen_backlog, parse_backlog);
        let protocol = self.value("--protocol", &options.protocol, parse_protocol);
        let delimiter = self.value("--delimiter", &options.delimiter, parse_delimiter);
        let growth =
            self.value("--slab-growth-factor", &options.slab_growth_factor, |text| hundredths(text, 1.0));
        let least = self.value("--slab-min-size", &options.slab_min_size, |text| {
            limits::count("bytes of an item", number(text)?, 1, i32::MAX.into())
        });
        let napi_ids = self.value("--napi-ids", &options.napi_ids, |text| {
            limits::count("queues of network cards", number(text)?, 0, i32::MAX.into())
        });
        if options.disable_evictions {
            draft.no_evictions = Some(self.report.add_option("--disable-evictions", ""));
        }
        let service = &mut draft.service;
        for (given, name) in [
            (growth.is_some(), "-f"),
            (least.is_some(), "-n"),
            (options.enable_largepages, "-L"),
            (napi_ids.is_some(), "-N"),
        ] {
            if given {
                service.without_effect.push(name.to_owned());
            }
        }
        let accepted = &mut service.accepted;
        accepted.growth_factor = growth.map_or(accepted.growth_factor, |factor| factor.value);
        accepted.chunk_bytes_min = least.map_or(accepted.chunk_bytes_min, |bytes| bytes.value as u32);
        accepted.napi_ids = napi_ids.map_or(accepted.napi_ids, |count| count.value as u32);
        service.backlog = backlog.map_or(service.backlog, |backlog| backlog.value);
        service.protocol = protocol.map_or(service.protocol, |protocol| protocol.value);
        // A character to count by means that counting is wanted.
        service.detail = delimiter.is_some();
        service.detail_delimiter = delimiter.map_or(service.detail_delimiter, |character| character.value);
        service.evictions = !options.disable_evictions;
        service.cas = !options.disable_cas;
        service.flush_allowed = !options.disable_flush_all;
        service.dump_allowed = !options.disable_dumping;
        service.watch_allowed = !options.disable_watch;
    }

    /// How the process runs.
    pub(super) fn process(&mut self, options: &Options, draft: &mut Draft) {
        draft.process.daemon = options.daemon;
        draft.process.lock_memory = options.lock_memory;
        draft.process.core_dumps = options.enable_coredumps;
        draft.process.pid_file =
            self.value("--pidfile", &options.pidfile, parse_pid_file).map(|file| file.value);
        draft.process.user = self.value("--user", &options.user, parse_user).map(|user| user.value);
    }
}

fn parse_backlog(text: &str) -> Result<i32, Objection> {
    let backlog = limits::count("waiting connections", number(text)?, 0, i32::MAX.into())?;
    Ok(i32::try_from(backlog).expect("the range was checked"))
}

fn parse_protocol(text: &str) -> Result<Choice, Objection> {
    match text {
        "auto" => Ok(Choice::Auto),
        "ascii" => Ok(Choice::Text),
        "binary" => Ok(Choice::Binary),
        other => Err(objection(format!("`{other}` is no protocol"), "write auto, ascii or binary")),
    }
}

fn parse_delimiter(text: &str) -> Result<u8, Objection> {
    match text.as_bytes() {
        [character] if character.is_ascii_graphic() => Ok(*character),
        _ => Err(objection(format!("`{text}` is not one visible ASCII character"), "write one, as in :")),
    }
}

fn parse_pid_file(text: &str) -> Result<PathBuf, Objection> {
    match text {
        "" => Err(objection("the name of the pid file is empty", "write it, as in /run/larder.pid")),
        name => Ok(PathBuf::from(name)),
    }
}

fn parse_user(text: &str) -> Result<String, Objection> {
    match text {
        "" => Err(objection("the name of the user is empty", "write it, as in nobody")),
        name => Ok(name.to_owned()),
    }
}
