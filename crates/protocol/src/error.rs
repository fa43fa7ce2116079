//! Errors a client sees, with their exact words. `docs/reference/protocol.md` has the table.

/// An error that the protocol itself names, with exact words in text and a status in binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProtocolError {
    /// No such command or argument: `ERROR`.
    UnknownCommand,
    /// Too few tokens, key too long, bad number in a storage line, a line shorter than two characters.
    BadCommandLine,
    /// A data block not followed by CRLF.
    BadDataChunk,
    /// `touch`, `gat`, `flush_all`: not a number.
    InvalidExptime,
    /// `incr`, `decr`: not a number.
    InvalidDelta,
    /// The item's value is no number.
    NonNumeric,
    /// The value is over the limit.
    ValueTooLarge,
    /// No memory for the value, and nothing to evict.
    OutOfMemoryStoring,
    /// No memory for the changed number.
    OutOfMemory,
    /// No memory for the answer.
    OutOfMemoryReading,
    /// A retrieval line over its bound; the connection is closed after it.
    LineTooLong,
    /// Meta: more than 20 tokens.
    TooManyFlags,
    /// Meta: the same flag twice.
    DuplicateFlag,
    /// Meta: no such flag.
    InvalidFlag,
    /// `ma`: any of the two.
    InvalidOrDuplicateFlag,
    /// Meta: a number missing or not numeric.
    BadToken,
    /// Meta: letter and token of `O` over 32 bytes.
    OpaqueTooLong,
    /// Meta: not base64.
    BadKeyEncoding,
    /// `ms`: no such mode.
    InvalidSetMode,
    /// `ma`: no such mode.
    InvalidArithmeticMode,
    /// `shutdown`: no such mode.
    InvalidShutdownMode,
    /// `shutdown` where it is not allowed.
    ShutdownNotEnabled,
    /// `flush_all` where it is not allowed.
    FlushNotAllowed,
    /// `cache_memlimit` below 8.
    MemlimitTooSmall,
    /// `cache_memlimit` over 10^9.
    MemlimitNotBytes,
    /// `lru_crawler sleep` over a second.
    CrawlerSleepTooLong,
    /// `lru_crawler crawl` while another run is on.
    CrawlerBusy,
    /// `lru_crawler crawl` of a class that is none.
    CrawlerBadClass,
    /// `lru_crawler crawl` with nothing to crawl.
    CrawlerNotStarted,
    /// `lru_crawler` where the crawler is off.
    CrawlerDisabled,
    /// `metadump` behind other commands in one read.
    PipelinedMetadump,
    /// `metadump` where dumps are not allowed.
    MetadumpNotAllowed,
    /// `mgdump` where dumps are not allowed.
    KeyDumpNotAllowed,
    /// `lru tune`: more than 80 percent.
    LruPercentTooLarge,
    /// `lru tune`: a factor not above 0.
    LruFactorTooSmall,
    /// `slabs reassign`: larder has no slabs.
    SlabReassignmentDisabled,
    /// `watch` behind other commands in one read.
    PipelinedWatch,
    /// `watch` where it is not allowed.
    WatchNotAllowed,
    /// More than 20 watchers.
    TooManyWatchers,
    /// `stats detail` with a wrong argument.
    StatsDetailUsage,
    /// `stats detail` where it is not allowed.
    StatsDetailNotAllowed,
    /// `stats cachedump` with too few arguments.
    BadStatsLine,
    /// `stats cachedump` of a class that is none.
    IllegalSlabClass,
    /// `stats cachedump` where it is not allowed.
    CachedumpNotAllowed,
    /// Binary: wrong shape for the opcode; the connection is closed after it.
    InvalidArguments,
    /// Binary: SASL credentials refused, or a command before authentication.
    AuthFailure,
    /// Text: a command before authentication.
    Unauthenticated,
    /// Text: the data of an authentication is not `user password`.
    BadAuthToken,
    /// Text: the data of an authentication is over its bound; the connection is closed after it.
    AuthTokenTooLong,
    /// Text: the data of an authentication not followed by CRLF.
    BadTermination,
}

/// Whose fault a [`Failure`] is and what the client may do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The request cannot be carried out as it stands: `CLIENT_ERROR`.
    Client,
    /// The store cannot be reached now.
    Unavailable,
    /// The store did not answer in time; nothing was changed.
    TimedOut,
    /// Whether the change happened is not known.
    OutcomeUnknown,
    /// The stored data is damaged.
    Damaged,
    /// A bound is reached; try again.
    Busy,
    /// This engine cannot do it.
    Unsupported,
    /// It is switched off here.
    Disabled,
    /// This client may not.
    NotPermitted,
    /// Anything else that went wrong in the server.
    Internal,
}

/// An error with a text of its own, from an engine or from the chassis.
///
/// `encode` makes one line of at most [`Failure::TEXT_BYTES_MAX`] bytes of the text: control bytes become
/// spaces, the rest is cut off. In text and meta it follows `SERVER_ERROR ` or `CLIENT_ERROR `.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure<'a> {
    /// Whose fault.
    pub kind: FailureKind,
    /// What to tell the client.
    pub text: &'a str,
}

impl ProtocolError {
    /// The words of the error in text and meta, without line end.
    pub const fn line(self) -> &'static str {
        use ProtocolError::*;
        match self {
            UnknownCommand => "ERROR",
            BadCommandLine => "CLIENT_ERROR bad command line format",
            BadDataChunk => "CLIENT_ERROR bad data chunk",
            InvalidExptime => "CLIENT_ERROR invalid exptime argument",
            InvalidDelta => "CLIENT_ERROR invalid numeric delta argument",
            NonNumeric => "CLIENT_ERROR cannot increment or decrement non-numeric value",
            ValueTooLarge => "SERVER_ERROR object too large for cache",
            OutOfMemoryStoring => "SERVER_ERROR out of memory storing object",
            OutOfMemory => "SERVER_ERROR out of memory",
            OutOfMemoryReading => "SERVER_ERROR out of memory writing get response",
            LineTooLong => "CLIENT_ERROR line too long",
            TooManyFlags => "CLIENT_ERROR options flags are too long",
            DuplicateFlag => "CLIENT_ERROR duplicate flag",
            InvalidFlag => "CLIENT_ERROR invalid flag",
            InvalidOrDuplicateFlag => "CLIENT_ERROR invalid or duplicate flag",
            BadToken => "CLIENT_ERROR bad token in command line format",
            OpaqueTooLong => "CLIENT_ERROR opaque token too long",
            BadKeyEncoding => "CLIENT_ERROR error decoding key",
            InvalidSetMode => "CLIENT_ERROR invalid mode for ms M token",
            InvalidArithmeticMode => "CLIENT_ERROR invalid mode for ma M token",
            InvalidShutdownMode => "CLIENT_ERROR invalid shutdown mode",
            ShutdownNotEnabled => "SERVER_ERROR: shutdown not enabled",
            FlushNotAllowed => "CLIENT_ERROR flush_all not allowed",
            MemlimitTooSmall => "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m",
            MemlimitNotBytes => "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes",
            CrawlerSleepTooLong => "CLIENT_ERROR sleep must be one second or less",
            CrawlerBusy => "BUSY currently processing crawler request",
            CrawlerBadClass => "BADCLASS invalid class id",
            CrawlerNotStarted => "NOTSTARTED no items to crawl",
            CrawlerDisabled => "CLIENT_ERROR lru crawler disabled",
            PipelinedMetadump => "ERROR cannot pipeline other commands before metadump",
            MetadumpNotAllowed => "ERROR metadump not allowed",
            KeyDumpNotAllowed => "ERROR key dump not allowed",
            LruPercentTooLarge => "ERROR hot and warm pcts must not exceed 80",
            LruFactorTooSmall => "ERROR hot/warm age factors must be greater than 0",
            SlabReassignmentDisabled => "CLIENT_ERROR slab reassignment disabled",
            PipelinedWatch => "ERROR cannot pipeline other commands before watch",
            WatchNotAllowed => "CLIENT_ERROR watch commands not allowed",
            TooManyWatchers => "WATCHER_TOO_MANY log watcher limit reached",
            StatsDetailUsage => "CLIENT_ERROR usage: stats detail on|off|dump",
            StatsDetailNotAllowed => "CLIENT_ERROR stats detail not allowed",
            BadStatsLine => "CLIENT_ERROR bad command line",
            IllegalSlabClass => "CLIENT_ERROR Illegal slab id",
            CachedumpNotAllowed => "CLIENT_ERROR stats cachedump not allowed",
            InvalidArguments => "CLIENT_ERROR invalid arguments",
            AuthFailure => "CLIENT_ERROR authentication failure",
            Unauthenticated => "CLIENT_ERROR unauthenticated",
            BadAuthToken => "CLIENT_ERROR bad authentication token format",
            AuthTokenTooLong => "CLIENT_ERROR auth token too long",
            BadTermination => "CLIENT_ERROR bad command line termination",
        }
    }
}

impl FailureKind {
    /// Whether the client is at fault (`CLIENT_ERROR`) rather than the server (`SERVER_ERROR`).
    pub const fn is_clients(self) -> bool {
        matches!(self, FailureKind::Client | FailureKind::NotPermitted)
    }
}

impl Failure<'_> {
    /// How much of a text reaches a client, in bytes.
    pub const TEXT_BYTES_MAX: usize = 256;

    /// The text as far as it is sent, in whole characters.
    pub(crate) fn cut_text(&self) -> &[u8] {
        let end = self.text.floor_char_boundary(Self::TEXT_BYTES_MAX);
        &self.text.as_bytes()[..end]
    }
}

impl std::fmt::Display for ProtocolError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.line())
    }
}

impl std::error::Error for ProtocolError {}
