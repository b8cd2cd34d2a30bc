//! The clients of all cases: what each says and wants.

use crate::client::Client;

const NONE: Client = Client { what: "", says: b"", hears: b"", then_says: (0, b""), wants: b"", reads: true };
const HTTP: Client = Client { wants: b"the end\n", ..NONE };

/// A connection on which nothing was ever said, as browsers and pools open them in advance.
pub(crate) const UNUSED: Client = Client { what: "unused", ..NONE };

/// Answered, and kept open for the next request.
pub(crate) const KEPT_ALIVE: Client =
    Client { what: "kept alive", says: b"GET /small.txt HTTP/1.1\r\nHost: pod\r\n\r\n", hears: b"the end\n", ..HTTP };

/// A request that is worked on for two seconds and a half.
pub(crate) const WAITING: Client =
    Client { what: "waiting", says: b"GET /slow/2500 HTTP/1.1\r\nHost: pod\r\n\r\n", ..HTTP };

/// A request that is worked on for longer than any grace period here.
pub(crate) const WAITING_LONG: Client =
    Client { what: "waiting long", says: b"GET /slow/20000 HTTP/1.1\r\nHost: pod\r\n\r\n", ..HTTP };

/// A download that the server throttles to six seconds.
pub(crate) const DOWNLOADING: Client = Client {
    what: "downloading",
    says: b"GET /large.bin HTTP/1.1\r\nHost: pod\r\n\r\n",
    hears: b"HTTP/1.1 200 OK",
    ..HTTP
};

/// A download that the client does not read.
pub(crate) const NOT_READING: Client =
    Client { what: "not reading", says: b"GET /huge.bin HTTP/1.1\r\nHost: pod\r\n\r\n", reads: false, ..HTTP };

/// HTTP, answered and then closed by whoever likes to.
pub(crate) const ASKING: Client = Client {
    what: "asking",
    says: b"GET /small.txt HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n",
    hears: b"the end\n",
    ..HTTP
};

/// Redis: a pooled connection.
pub(crate) const REDIS_IDLE: Client =
    Client { what: "pooled", says: b"PING\r\n", hears: b"+PONG\r\n", wants: b"+PONG\r\n", ..NONE };

/// Redis: a worker that waits for its next job.
pub(crate) const REDIS_BLOCKED: Client =
    Client { what: "blocked", says: b"BLPOP jobs 0\r\n", wants: b"*2\r\n", ..NONE };

/// Redis: a worker that had an answer and at once waits for its next job, as they all do in a loop.
pub(crate) const REDIS_LOOPING: Client = Client {
    what: "looping",
    says: b"PING\r\n",
    hears: b"+PONG\r\n",
    then_says: (0, b"BLPOP jobs 0\r\n"),
    wants: b"*2\r\n",
    ..NONE
};

/// A start-up message: length, protocol 3.0, user and database.
const POSTGRES_HELLO: &[u8] = b"\0\0\0\x29\0\x03\0\0user\0postgres\0database\0postgres\0\0";
/// `ReadyForQuery`, outside a transaction.
const POSTGRES_READY: &[u8] = b"Z\0\0\0\x05I";

/// `PostgreSQL`: a pooled session.
pub(crate) const POSTGRES_IDLE: Client =
    Client { what: "pooled", says: POSTGRES_HELLO, hears: POSTGRES_READY, wants: POSTGRES_READY, ..NONE };

/// `PostgreSQL`: a query of half a minute.
pub(crate) const POSTGRES_BUSY: Client = Client {
    what: "querying",
    says: POSTGRES_HELLO,
    hears: POSTGRES_READY,
    then_says: (50, b"Q\0\0\0\x18select pg_sleep(30)\0"),
    wants: b"SELECT 1\0",
    ..NONE
};
