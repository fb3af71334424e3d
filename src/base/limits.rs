//! Every limit of the server, by name. Where a conf key exists, this is its default or its bound.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Digits of a number.
pub const NUMBER_DIGITS_MAX: usize = 18;

/// Bytes of a number as it is written towards a trunk, a sign and a prefix among them.
pub const WRITTEN_NUMBER_BYTES_MAX: usize = 24;
/// Rules of one trunk that change numbers, each way.
pub const NUMBER_RULES_MAX: usize = 32;
/// Bytes of such a rule's expression, and of its replacement.
pub const NUMBER_RULE_MATCH_BYTES_MAX: usize = 128;
/// Bytes of memory that such an expression may take, compiled.
pub const NUMBER_RULE_BYTES_MAX: usize = 64 << 10;
/// Bytes of a number that comes in, and of what a rule makes of it.
pub const NUMBER_RULE_TEXT_BYTES_MAX: usize = 160;

/// Calls a second that a trunk may be limited to, each way.
pub const TRUNK_CALLS_PER_S_MAX: u32 = 10_000;
/// Calls at once that a trunk may be limited to, each way.
pub const TRUNK_CALLS_MAX: u32 = 1_000_000;

/// Header fields of one SIP message; a request with more is answered 513.
pub const SIP_HEADERS_MAX: usize = 128;
/// Bytes of one SIP message.
pub const SIP_MESSAGE_BYTES_MAX: usize = 65_535;
/// Bytes of a request that go over UDP where TCP may be tried (RFC 3261 §18.1.1).
pub const UDP_REQUEST_BYTES_MAX: usize = 1_300;
/// Parts of one multipart body, those of its parts included.
pub const SIP_BODY_PARTS_MAX: usize = 32;
/// How deep multipart bodies may stand in one another.
pub const SIP_BODY_DEPTH_MAX: usize = 4;
/// Bytes that one call may keep of its parties' routing headers (route set, target) on each leg.
pub const SIP_ROUTE_BYTES_MAX: usize = 4_096;
/// Record-Route values of one dialog that are kept.
pub const SIP_ROUTES_MAX: usize = 32;
/// Bytes of a challenge (realm, nonce and opaque together) that is answered.
pub const CHALLENGE_BYTES_MAX: usize = 2_048;
/// How long a registration of ours may last, in seconds.
pub const REGISTER_EXPIRES: RangeInclusive<u32> = 10..=86_400;
/// How long one is asked for: default, in seconds.
pub const REGISTER_EXPIRES_S: u32 = 3_600;
/// The pause after a registration that failed; it doubles from one failure to the next.
pub const REGISTER_PAUSE: Duration = Duration::from_secs(10);
/// The longest of these pauses.
pub const REGISTER_PAUSE_MAX: Duration = Duration::from_secs(600);
/// The longest pause that a registrar can ask for (Retry-After).
pub const REGISTER_RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);
/// REGISTERs in a row that answer what the one before met: a challenge, one for a stale nonce, a longer time.
pub const REGISTER_TRIES_MAX: u32 = 5;
/// REGISTERs that go out at one moment, of those that are due; and the rest before the next of them.
pub const REGISTERS_AT_ONCE: usize = 16;
/// See [`REGISTERS_AT_ONCE`].
pub const REGISTERS_APART: Duration = Duration::from_millis(20);
/// The least time between a registration and its refresh, however little was granted.
pub const REGISTER_REFRESH_MIN: Duration = Duration::from_secs(2);
/// Servers of a trunk's gateways that a registration tries before it pauses.
pub const REGISTRARS_TRIED_MAX: usize = 16;
/// How long a server that stops waits for its registrations to be taken back.
pub const REGISTER_LEAVE: Duration = Duration::from_secs(3);
/// Bytes of a file of the conf.
pub const CONF_BYTES_MAX: u64 = 4 << 20;
/// Bytes of a file of certificates, or of a key.
pub const PEM_BYTES_MAX: u64 = 4 << 20;
/// Bytes of a password, a user's name or a realm.
pub const SECRET_BYTES_MAX: usize = 256;
/// How long a nonce of ours can be used.
pub const NONCE_LIFE: Duration = Duration::from_secs(300);
/// Nonces of one shard whose uses are counted; the longest given go first, and are then too old.
pub const NONCES_MAX: usize = 16_384;
/// Wrong credentials from one address, in [`GUESSES_WITHIN`], after which none of it are looked at any more.
pub const GUESSES_MAX: u32 = 20;
/// How long wrong credentials are counted together.
pub const GUESSES_WITHIN: Duration = Duration::from_secs(60);
/// Addresses of one shard whose wrong credentials are counted apart; all others share one count.
pub const GUESSERS_MAX: usize = 4_096;
/// Users of one trunk.
pub const TRUNK_USERS_MAX: usize = 256;
/// Calls of one shard at once; the next is answered 503.
pub const CALLS_MAX: usize = 50_000;
/// Server transactions of one shard that belong to no call; beyond it requests are answered statelessly.
pub const TRANSACTIONS_MAX: usize = 200_000;
/// New requests that wait for a shard; beyond it, those of whoever has most of them waiting are answered 503.
pub const SHARD_QUEUE: usize = 8_192;
/// New requests from addresses of no trunk that wait for a shard; beyond it they are lost.
pub const STRANGERS_QUEUE: usize = 256;
/// How long a new INVITE may wait where it comes behind others all the time. Far less than T1 (500 ms): its sender doesn't
/// repeat it meanwhile.
pub const QUEUE_AGE_MAX: Duration = Duration::from_millis(40);
/// How long others have to have waited before it all the time, so that it is more than a burst.
pub const QUEUE_STANDS: Duration = Duration::from_millis(250);
/// Addresses of one trunk's gateways whose wishes for fewer calls (RFC 7339) are kept; those of others are not heeded.
pub const THROTTLES_MAX: usize = 64;
/// Over how long it is counted what of a trunk's new calls is taken and what is not.
pub const LOAD_WINDOW: Duration = Duration::from_millis(500);
/// Branches of one INVITE (forks answering with a To-tag of their own) that are kept.
pub const FORKS_MAX: usize = 16;
/// 2xx of one INVITE from different branches whose repetitions are told from new ones.
pub const ANSWERS_MAX: usize = 2 * FORKS_MAX;
/// Reliable provisional responses (RFC 3262) of one fork that are acknowledged; further ones are ignored.
pub const PRACKS_MAX: u32 = 64;
/// The longest that a peer is told to wait with an offer of its own (RFC 3261 §14.2), and that we wait when we are
/// told so, in seconds.
pub const RETRY_AFTER_MAX_S: u32 = 10;
/// How often an offer of our own is tried again that met one of the peer's, or was put off.
pub const OFFER_TRIES_MAX: u8 = 4;
/// How long a peer that asked by UPDATE waits at most for the other side, in T1: its own timer F is 64 (RFC 3261
/// §17.1.2.2).
pub const ASKED_BY_UPDATE_WAIT_T1: u32 = 32;
/// Message lines that a call's trace keeps.
pub const TRACE_LINES_MAX: usize = 128;
/// TCP connections at once, over all shards; whoever wants one more is refused, with an alarm.
pub const TCP_CONNECTIONS_MAX: usize = 1_024;
/// How many of them others may have opened: the last eighth is for those that we open.
pub const TCP_ACCEPTED_MAX: usize = TCP_CONNECTIONS_MAX / 8 * 7;
/// TCP connections at once from one address of a trunk.
pub const TCP_PER_TRUNK_SOURCE_MAX: usize = 512;
/// TCP connections at once from one address that is no trunk's.
pub const TCP_PER_STRANGER_MAX: usize = 4;
/// Bytes that wait to be written to one TCP connection; beyond it, it is closed and its requests fail.
pub const TCP_QUEUE_BYTES_MAX: usize = 1 << 20;
/// How long a TCP connection of ours may take to come about.
pub const TCP_CONNECT_MAX: Duration = Duration::from_secs(4);
/// TLS handshakes at once, over all shards; whoever begins one more is refused.
pub const TLS_HANDSHAKES_MAX: usize = 128;
/// How many of them may be with addresses that are no trunk's.
pub const TLS_STRANGERS_HANDSHAKES_MAX: usize = TLS_HANDSHAKES_MAX / 2;
/// TLS handshakes that addresses of no trunk may begin in a second, of each shard: each costs about a millisecond.
pub const TLS_STRANGERS_PER_SECOND: usize = 64;
/// How long a TLS handshake may take; then the connection is closed.
pub const TLS_HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// Bytes of one TLS connection that are enciphered before the other side takes them.
pub const TLS_BUFFER_BYTES_MAX: usize = 64 << 10;
/// How long before its end a certificate of ours is told of.
pub const TLS_ENDS_SOON: Duration = Duration::from_secs(14 * 86_400);
/// How long a message may take from its first byte to its last over TCP; then the connection is closed.
pub const TCP_MESSAGE_MAX: Duration = Duration::from_secs(10);
/// How long the other side of a TCP connection may take nothing of what is written; then it is closed.
pub const TCP_STALL_MAX: Duration = Duration::from_secs(10);
/// How long the other side of a connection may take for the answer to a keep-alive of ours (RFC 5626 §4.4.1).
pub const PONG_MAX: Duration = Duration::from_secs(10);
/// How often there may be such keep-alives, in seconds.
pub const KEEPALIVE_S: RangeInclusive<u32> = 10..=3_600;
/// How long a TCP connection with a trunk's address may be silent; then it is closed. The next message opens it
/// again.
pub const TCP_IDLE_MAX: Duration = Duration::from_secs(600);
/// The same for an address that is no trunk's.
pub const TCP_IDLE_STRANGER_MAX: Duration = Duration::from_secs(30);
/// How long a TCP connection stays open after bytes that can't be followed, so that the answer is read.
pub const TCP_LINGER: Duration = Duration::from_secs(1);
/// Seconds that a refused call is told to wait where nothing says how long it takes.
pub const RETRY_AFTER_S: u32 = 5;
/// Seconds that a call is told to wait which was refused for load, before chance is added: up to as much again.
pub const RETRY_AFTER_LOAD_S: RangeInclusive<u32> = 1..=30;
/// When a caller who is no live party is answered, counted from arrival: the same for every reason.
pub const STRANGER_ANSWER: Duration = Duration::from_millis(20);

/// Codecs of one offer that are kept.
pub const SDP_CODECS_MAX: usize = 16;
/// Media lines of one session description.
pub const SDP_MEDIA_MAX: usize = 16;
/// Keys (`a=crypto`) of one media line that are kept: of those that we could use, the first.
pub const SDP_CRYPTO_MAX: usize = 8;
/// SSRCs that one process uses with one key of ours (RFC 3711) at the most: none is used twice.
pub const SRTP_SSRCS: u32 = 1 << 16;

/// How long an RTP port rests before another call gets it, while there are enough of them.
pub const PORT_REST: Duration = Duration::from_secs(30);
/// How long it rests at the least, however many calls come: a stray packet of the call before is then
/// older than any network keeps one, and its sender is no pinned address of the new call anyway.
pub const PORT_REST_MIN: Duration = Duration::from_secs(2);
/// Bytes of a datagram that comes to a media port, and one more: a longer one is no audio, and is dropped.
pub const MEDIA_DATAGRAM_BYTES_MAX: usize = 2_048;
/// Bytes of recorded packets that may wait between all media threads and the recorder: five seconds of 500 calls, with
/// 250 bytes for each packet.
pub const TAP_RING_BYTES: usize = 64 << 20;
/// Calls whose RTP ports are bound ahead of need, per shard.
pub const PORTS_AHEAD: usize = 512;
/// Calls whose RTP ports are bound before the first packet is read, per shard: those that came while no server ran.
pub const PORTS_TO_BEGIN: usize = 128;
/// How long a shard waits for them at most.
pub const BEGIN_WITHIN: Duration = Duration::from_secs(1);
/// Addresses of ours that media runs on.
pub const MEDIA_INTERFACES_MAX: usize = 8;
/// How long no port is bound after the system had no file or memory left for one.
pub const BIND_PAUSE: Duration = Duration::from_secs(10);
/// Files that the server opens besides its media ports: logs, records, the API's connections.
pub const OTHER_FILES: usize = 512;
/// How long a listing of the live calls waits for the media threads' counts.
pub const LIVE_COUNTS_WAIT: Duration = Duration::from_millis(250);
/// Flows of one shard whose counts one listing asks for; further calls show those of an earlier one, or none.
pub const LIVE_COUNTS_FLOWS: usize = 4_000;
/// Listings that may wait for counts at once; a further one is answered with what is known.
pub const LISTINGS_MAX: usize = 64;
/// How long after it took a call over a process asks whether its parties are still there, and how far such questions are
/// spread.
pub const PROBE_AFTER: Duration = Duration::from_secs(5);
/// See [`PROBE_AFTER`].
pub const PROBE_SPREAD: Duration = Duration::from_secs(10);
/// How long a call's end waits for the media thread's counts.
pub const MEDIA_COUNTS_WAIT: Duration = Duration::from_secs(2);
/// The largest datagram of a fax (UDPTL) that is passed on: what fits everywhere without being cut up.
pub const UDPTL_BYTES_MAX: usize = 1_400;
/// What is left of the longest duration when its last minute is announced.
pub const LAST_MINUTE: Duration = Duration::from_secs(60);
/// The longest that somebody is told something while the other party waits; a longer prompt is cut.
pub const CUE_LASTS_MAX: Duration = Duration::from_secs(30);
/// How long a refused caller hears a tone, to the end of its last round.
pub const REFUSAL_TONE: Duration = Duration::from_secs(3);
/// Bytes of a prompt's file: five minutes as studios have them.
pub const PROMPT_BYTES_MAX: usize = 64 << 20;
/// How long a prompt's file may take to come: the longest one at 4.5 Mbit/s. Nobody else puts one meanwhile.
pub const PROMPT_UPLOAD_TIME: Duration = Duration::from_secs(120);
/// How long a prompt may last.
pub const PROMPT_TIME_MAX: Duration = Duration::from_secs(300);
/// Samples a second of a prompt's file: the fewest and the most.
pub const PROMPT_RATES_HZ: (u32, u32) = (8_000, 192_000);
/// Files that are looked at in the folder of prompts.
pub const PROMPTS_MAX: usize = 10_000;
/// How long the prompts of the folder may last together: each second takes 24 kB of memory.
pub const PROMPTS_TIME_MAX: Duration = Duration::from_secs(3_600);
/// Letters of a prompt's name.
pub const PROMPT_NAME_MAX: usize = 32;
/// Refused callers who hear a tone at once, of each shard: default.
pub const ANNOUNCEMENTS: usize = 500;
/// The same: the most that can be set.
pub const ANNOUNCEMENTS_MAX: u32 = 10_000;
/// Frames of a sound of ours that a media thread sends at once when it comes late; what is older is left out.
pub const FRAMES_LATE_MAX: u32 = 5;
/// Keys that wait to be pressed on a leg; more are not pressed.
pub const DIGITS_WAITING_MAX: usize = 32;
/// How long a caller who is asked for digits may take to the first key, counted from the end of the prompt.
pub const COLLECT_FIRST_KEY: Duration = Duration::from_secs(5);
/// How long he may take to the next one, before what he has keyed is all.
pub const COLLECT_KEY_GAP: Duration = Duration::from_secs(3);
/// How often he may answer.
pub const COLLECT_TRIES: u8 = 3;
/// How long all of it may take where callers choose from a menu.
pub const MENU_LONGEST: Duration = Duration::from_secs(180);
/// How long whoever is asked at the end of a call may take to answer, counted from the end of the prompt.
pub const QUESTION_WAIT: Duration = Duration::from_secs(5);
/// How long all of it may take, whatever he keys: the longest questions, asked as often as can be, take about as long.
pub const QUESTION_LONGEST: Duration = Duration::from_secs(180);
/// How often he is asked if nothing is said.
pub const QUESTION_LOOPS: u8 = 2;
/// And at the most.
pub const QUESTION_LOOPS_MAX: u8 = 5;
/// Answers of a menu.
pub const MENU_CHOICES_MAX: usize = 20;
/// Digits of one of them.
pub const MENU_DIGITS_MAX: usize = 4;
/// How long all of it may take.
pub const COLLECT_LONGEST: Duration = Duration::from_secs(60);
/// Wrong entries of one caller within [`EXTENSION_GUESSES_WITHIN`], behind whatever number: none of his is right any more.
pub const EXTENSION_GUESSES_OF_CALLER: u32 = 10;
/// The same behind one number, whoever calls.
pub const EXTENSION_GUESSES_OF_X: u32 = 100;
/// The while within which wrong entries are counted, and no more are judged once there were too many.
pub const EXTENSION_GUESSES_WITHIN: Duration = Duration::from_secs(600);
/// Callers, and numbers, whose wrong entries are counted at once.
pub const EXTENSION_GUESSERS_MAX: usize = 100_000;
/// Keys that are heard at once; more that come at once aren't counted. What the network held up for a moment comes so.
pub const KEYS_AT_ONCE_MAX: u32 = 16;
/// Audio that is listened to ahead of the time that it takes to be said: what the network held up comes at once. More is
/// not looked at, so that nobody has more of it looked at than he can say.
pub const AUDIO_AHEAD_MAX: Duration = Duration::from_secs(1);
/// How much of a recording is one block, which is written as soon as nothing late may belong into it: what is on disk ends
/// by so much, and what is waited for, before what was heard.
pub const RECORDING_BLOCK: Duration = Duration::from_millis(250);
/// Blocks a second.
pub const RECORDING_BLOCKS_A_SECOND: usize = 1_000 / RECORDING_BLOCK.as_millis() as usize;
/// How late audio may come and still be recorded in its place.
pub const RECORDING_LATE_MAX: Duration = Duration::from_millis(400);
/// Packets of a channel that wait for those before them; with more, the first waits no longer.
pub const RECORDING_PACKETS_MAX: usize = 64;
/// Bytes of audio of a packet that are recorded, 240 ms: nobody packs more.
pub const RECORDING_PACKET_BYTES_MAX: usize = 1_920;
/// Seconds of a recording that wait to be taken; what is heard after them is left out.
pub const RECORDING_SECONDS_MAX: usize = 8;
/// Bytes of packets that can't be decoded that a recording keeps until they are taken, a second's at the most; the rest is
/// lost.
pub const RECORDING_DUMP_BYTES_MAX: usize = 1 << 20;
/// Keys that a leg's peer keyed to us and nobody has taken; more are not kept.
pub const KEYS_KEPT_MAX: usize = 32;
/// Keys of a code by which a party pauses its call's recording: the least and the most.
pub const RECORDING_CODE_KEYS: (usize, usize) = (2, 6);
/// How long the next key of such a code is awaited; then those before it are the other party's.
pub const RECORDING_CODE_WAIT: Duration = Duration::from_secs(2);
/// How long a key that we press is down: the least and the most. RFC 4733 §2.3.5 counts it in 16 bits, which are
/// 1.3 s at Opus's clock.
pub const DIGIT_LASTS: (Duration, Duration) = (Duration::from_millis(40), Duration::from_secs(1));
/// How far ahead keys may be pressed by INFO: one that would be heard later is refused with 500.
pub const INFO_KEYS_AHEAD: Duration = Duration::from_secs(10);
/// Bytes of an INFO that tells a key.
pub const INFO_BODY_BYTES_MAX: usize = 256;
/// Bytes of a carrier's own name for a call (P-Charging-Vector) that a record keeps.
pub const ICID_BYTES_MAX: usize = 128;
/// Packets in a row that a new media address has to send before it is believed.
pub const LATCH_PACKETS: u8 = 4;
/// Silence on the known media address before another may take its place.
pub const LATCH_SILENCE: Duration = Duration::from_secs(2);

/// How often a caller hears how it goes while the called party rings (RFC 3261 §13.3.1.1).
pub const PROGRESS_EVERY: Duration = Duration::from_secs(60);
/// How long a gateway may say nothing at all to an INVITE: default. Four tries over UDP have gone out by then.
pub const FIRST_RESPONSE: Duration = Duration::from_secs(5);
/// The longest that can be set: RFC 3261's timer B.
pub const FIRST_RESPONSE_MAX: Duration = Duration::from_secs(32);
/// How long a gateway may say no more than that it has the INVITE (100): default, which is never less than the called
/// party may ring.
pub const PROGRESS_TIMEOUT: Duration = RING_TIMEOUT_MAX;
/// How long a gateway's wish for fewer calls (RFC 7339) holds at the most, without being said again.
pub const THROTTLE_MAX: Duration = Duration::from_secs(60);
/// How long a gateway that answers 503 with Retry-After is spared at the most.
pub const GATEWAY_REST_MAX: Duration = Duration::from_secs(60);
/// How often a gateway is probed, where probes are turned on without saying how often.
pub const PROBE_EVERY: Duration = Duration::from_secs(30);
/// The longest interval between probes.
pub const PROBE_EVERY_MAX: Duration = Duration::from_secs(3_600);
/// How long the answer to a probe may take: default. The longest is RFC 3261's timer F.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(4);
/// The longest that can be set.
pub const PROBE_TIMEOUT_MAX: Duration = Duration::from_secs(32);
/// Probes in a row that fail before a gateway is down: default.
pub const PROBE_DOWN_AFTER: u32 = 3;
/// Probes in a row that are answered before it is up again: default.
pub const PROBE_UP_AFTER: u32 = 2;
/// The most of either that can be set.
pub const PROBE_THRESHOLD_MAX: u32 = 100;
/// Admins that wait for the outcome of one gateway's probe at once; the next hears of no room.
pub const PROBE_ASKERS_MAX: usize = 16;
/// The highest priority number and weight of a gateway, or of a trunk in a route.
pub const RANK_MAX: u32 = 1_000;
/// `[[route]]` tables of one conf.
pub const ROUTES_MAX: usize = 1_024;
/// Trunks that one route names.
pub const ROUTE_TRUNKS_MAX: usize = 16;
/// Trunks and gateways that admins have blocked at once.
pub const BLOCKS_MAX: usize = 1_024;
/// Contacts of one 3xx that are read.
pub const REDIRECT_CONTACTS_MAX: usize = 8;
/// Numbers that one call is sent on to at the most.
pub const REDIRECT_TARGETS_MAX: usize = 5;
/// Ring time-out: default and range.
pub const RING_TIMEOUT: Duration = Duration::from_secs(60);
/// The shortest ring time-out.
pub const RING_TIMEOUT_MIN: Duration = Duration::from_secs(5);
/// The longest ring time-out.
pub const RING_TIMEOUT_MAX: Duration = Duration::from_secs(180);
/// How long an emergency service may ring, or let its callers wait: who needs help hangs up himself.
pub const RING_FOR_HELP: Duration = Duration::from_secs(600);
/// The shortest maximum call duration.
pub const CALL_DURATION_MIN: Duration = Duration::from_secs(60);
/// The longest maximum call duration.
pub const CALL_DURATION_MAX: Duration = Duration::from_secs(1_440 * 60);
/// The shortest session interval of RFC 4028, in seconds (§4, §5).
pub const SESSION_MIN_S: u32 = 90;
/// The session interval that is asked for: default, in seconds (RFC 4028 §4 recommends it).
pub const SESSION_EXPIRES_S: u32 = 1_800;
/// How long what DNS says of a gateway's name is taken for true, at least and at the most.
pub const DNS_TTL_MIN: Duration = Duration::from_secs(2);
/// See [`DNS_TTL_MIN`].
pub const DNS_TTL_MAX: Duration = Duration::from_secs(3_600);
/// How long it is taken for true that a name isn't there, where DNS doesn't say how long.
pub const DNS_NEGATIVE_TTL: Duration = Duration::from_secs(30);
/// The same at the most, whatever DNS says.
pub const DNS_NEGATIVE_TTL_MAX: Duration = Duration::from_secs(60);
/// How long the last answer counts while DNS gives none (RFC 8767 §5 has a day to three).
pub const DNS_STALE_MAX: Duration = Duration::from_secs(86_400);
/// The wait before a look-up that failed is tried again: it doubles from this...
pub const DNS_RETRY: Duration = Duration::from_secs(2);
/// ... to this.
pub const DNS_RETRY_MAX: Duration = Duration::from_secs(60);
/// How long one question to DNS is waited for, over all its servers.
pub const DNS_ANSWER_WAIT: Duration = Duration::from_secs(5);
/// How long a start and a reload wait for the first answers.
pub const DNS_PATIENCE: Duration = Duration::from_secs(3);
/// Names that are looked up at once.
pub const DNS_LOOKUPS_AT_ONCE: usize = 16;
/// Records of one answer that are read.
pub const DNS_RECORDS_MAX: usize = 32;
/// Servers that one name may have.
pub const DNS_SERVERS_MAX: usize = 32;
/// DNS servers that the conf may name.
pub const DNS_ASKED_MAX: usize = 8;
/// Addresses of one gateway that one call tries.
pub const TARGETS_TRIED_MAX: usize = 4;
/// INVITEs that one gateway gets for one call while it wants ever longer sessions (422).
pub const SESSION_TRIES_MAX: u32 = 4;
/// The longest session interval and minimum that can be set, in seconds.
pub const SESSION_MAX_S: u32 = 86_400;

/// AXB pairs on one X: default.
pub const AXB_PAIRS_PER_X: usize = 200;
/// AXB pairs on one X: the most that can be set.
pub const AXB_PAIRS_PER_X_MAX: usize = 5_000;
/// Numbers that one A may have in AX and AXYB: an account's default.
pub const X_PER_A: usize = 5;
/// Numbers that one A may have in AX and AXYB: the most that an account can be given.
pub const X_PER_A_MAX: usize = 1_000;
/// Calls that one caller may have at once by one number: default.
pub const CALLS_PER_CALLER: usize = 3;
/// Calls at once by one number, or of one caller by it: the most that can be set as a limit.
pub const CALLS_AT_ONCE_MAX: usize = 100_000;
/// A pool is low when less than this share of it is free, in percent: default.
pub const POOL_FREE_LOW_PERCENT: u8 = 10;
/// A low pool is well again when this much more than the mark is free, in percent.
pub const POOL_FREE_HYSTERESIS_PERCENT: u8 = 5;
/// Words of 64 numbers that are kept of people who are on very many numbers of a pool; the oldest go first.
pub const CROWD_WORDS_MAX: usize = 4 << 20;
/// Numbers that a pool's choice tries before it looks at all of them by bits.
pub const CHOICE_PROBES: usize = 64;
/// Numbers in soft quarantine among which a pool without a free one takes what was given up longest ago.
pub const CHOICE_RESTING_MAX: usize = 4_096;
/// Bindings that are over and not written down yet, whose numbers an exhausted pool looks at.
pub const CHOICE_DUE_MAX: usize = 4_096;
/// Bindings of a person that a pool looks back at for the numbers he had.
pub const HISTORY_LOOK_BACK: usize = 64;
/// Fall-back cities of one pool.
pub const FALLBACK_CITIES_MAX: usize = 16;
/// Tags of one number.
pub const TAGS_PER_NUMBER_MAX: usize = 16;
/// A pool that avoids what a person had before looks back this far.
pub const AVOID_STICKY: Duration = Duration::from_secs(86_400);
/// Numbers that are added in one request.
pub const NUMBER_BATCH_MAX: usize = 1_000;
/// Relations in which one Y stands for somebody: default.
pub const RELATIONS_PER_Y: usize = 1_000;
/// Relations in which one Y stands for somebody: the most that can be set.
pub const RELATIONS_PER_Y_MAX: usize = 5_000;
/// Members of one group.
pub const GROUP_MEMBERS_MAX: usize = 10_000;
/// Members that one request names.
pub const GROUP_BATCH_MAX: usize = 200;
/// Groups of one pool.
pub const GROUPS_PER_POOL_MAX: usize = 2_000;
/// Groups that one number is a member of at a time: a call may ask about each of them.
pub const GROUPS_PER_MEMBER_MAX: usize = 2_000;
/// Times for which it is kept that one number was a member of one group, for attempts that arrived before a change.
pub const MEMBERSHIP_VERSIONS_KEPT: usize = 8;
/// People on the list of one work number.
pub const RING_LIST_MAX: usize = 10;
/// How long each of those whom a work number calls one after the other rings.
pub const RING_EACH: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(20);
/// How long they ring if nothing is said.
pub const RING_EACH_DEFAULT: Duration = Duration::from_secs(15);
/// Digits of an extension: the most.
pub const EXTENSION_DIGITS_MAX: u8 = 4;
/// Digits of an extension: a pool's default.
pub const EXTENSION_DIGITS: u8 = 4;
/// Digits that a caller may key in as one answer.
pub const KEYED_DIGITS_MAX: usize = 8;
/// Extensions behind one X: default. More are possible; people mistype more often where many are taken.
pub const EXTENSIONS_PER_X: usize = 200;
/// Extensions behind one X: the most that can be set. All zeros is never one.
pub const EXTENSIONS_PER_X_MAX: usize = 9_999;
/// How long the last caller of an X is kept, for A to call back: a pool's default.
pub const LAST_CALLER_KEPT: Duration = Duration::from_secs(168 * 3_600);
/// The same: the longest that can be set.
pub const LAST_CALLER_KEPT_MAX: Duration = Duration::from_secs(30 * 86_400);
/// A binding's expiry lies at least this far ahead.
pub const EXPIRY_MIN: Duration = Duration::from_secs(60);
/// Ended bindings of one pool whose keys rest: default.
pub const QUARANTINE_LIMIT: usize = 100_000;
/// Ended bindings of one pool whose keys rest: the most that can be set.
pub const QUARANTINE_LIMIT_MAX: u32 = 10_000_000;
/// How long a temporary callee holds: default.
pub const CALLEE_TIME: Duration = Duration::from_secs(60);
/// How long a temporary callee holds: the most that can be asked for.
pub const CALLEE_TIME_MAX: Duration = Duration::from_secs(3_600);
/// Ended rules stay readable at least this long, for attempts that arrived while they lived.
pub const ENDED_RULES_KEPT: Duration = Duration::from_secs(600);
/// Versions of one binding that are kept for attempts that arrived before an update.
pub const BINDING_VERSIONS_KEPT: usize = 32;
/// Bindings, live and past, that one (X, number) key points to; the longest past go first.
pub const RULES_PER_KEY_MAX: usize = 16;
/// Bytes of a name: of a pool, an account, a trunk.
pub const NAME_BYTES_MAX: usize = 64;
/// Trunks that one number names.
pub const TRUNKS_PER_NUMBER_MAX: usize = 16;
/// Bytes of user data that a binding carries.
pub const USER_DATA_BYTES_MAX: usize = 256;
/// Bytes of an order id.
pub const ORDER_ID_BYTES_MAX: usize = 64;
/// Binding writes that wait for the one writer; the next is answered 429.
pub const BIND_QUEUE: usize = 4_096;
/// Bindings of one batch request.
pub const BATCH_MAX: usize = 1_000;
/// Rows of one page of a listing: default.
pub const PAGE: usize = 100;
/// Rows of one page of a listing: the most that can be asked for.
pub const PAGE_MAX: usize = 1_000;
/// Records that one page of a filtered listing may look at; a page that reaches it is short.
pub const PAGE_SCAN_MAX: usize = 50_000;

/// CDRs that wait in memory while the disk refuses them; when full, new calls get 503.
pub const CDR_BUFFER: usize = 10_000;
/// Journal entries that wait in memory while the disk refuses them.
pub const JOURNAL_BUFFER: usize = 40_000;
/// The shortest recording that is kept, where the conf doesn't say: what is shorter holds no word.
pub const RECORDING_SHORTEST: Duration = Duration::from_secs(1);
/// How old an attempt is when the journal no longer has to be told all of its record at its end: what it was told when the
/// attempt came is on the medium by then (it is synced every 100 ms, which takes a slow disk longer), while power that
/// fails before may leave the later page and not the earlier one.
pub const JOURNAL_KNOWS_AFTER: Duration = Duration::from_secs(2);
/// Servers in a row that may end while they take over the calls of the one before, until nobody tries any more.
pub const TAKEOVER_TRIES: u32 = 5;
/// Bytes of the disk that are kept for a start while the disk is full: enough for 20,000 calls in progress and a million
/// bindings.
pub const DISK_RESERVE_BYTES: u64 = 64 << 20;
/// Ended calls whose trace is kept.
pub const TRACES_KEPT: usize = 1_000;

/// How long a source's offences are counted together towards a ban.
pub const OFFENCES_WITHIN: Duration = Duration::from_secs(60);
/// The longest ban that the conf may ask for, of those that come by themselves.
pub const BAN_MAX: Duration = Duration::from_secs(7 * 86_400);
/// Sources whose offences and bans are remembered; those that are over soonest go first.
pub const OFFENDERS_MAX: usize = 8_192;
/// Bans by hand.
pub const BANS_BY_HAND_MAX: usize = 1_024;
/// How long a source isn't banned that has shown that it is one of us.
pub const PROVEN_FOR: Duration = Duration::from_secs(86_400);
/// How many such sources are remembered.
pub const PROVEN_MAX: usize = 16_384;
/// A network with a shorter prefix is nobody's own, where its trunk asks for a password or a certificate besides.
pub const WIDE_V4: u8 = 24;
/// The same of IPv6.
pub const WIDE_V6: u8 = 48;
/// Digits of an emergency number.
pub const EMERGENCY_DIGITS_MAX: usize = 6;
/// Emergency numbers of a server: its country's, and those that the conf adds.
pub const EMERGENCY_NUMBERS_MAX: usize = 64;
/// Bytes of SIP messages that wait for being copied to a capture server; what comes beyond is dropped.
pub const HEP_QUEUE_BYTES: usize = 8 << 20;
/// The same in batches of messages, and news of calls.
pub const HEP_QUEUE_NEWS: usize = 65_536;
/// Bytes of the key that a capture server lets us in by.
pub const HEP_PASSWORD_BYTES_MAX: usize = 128;
/// Legs whose calls are known to whoever copies messages to a capture server; of more each stands for itself.
pub const HEP_LEGS_MAX: usize = 200_000;
/// Bytes of such a leg's Call-ID.
pub const HEP_CALL_ID_BYTES_MAX: usize = 256;

/// Bytes of the URL of a customer's server.
pub const URL_BYTES_MAX: usize = 1_024;
/// Bytes of the secret that signs what a customer's server is asked: at least so many.
pub const ASK_SECRET_BYTES_MIN: usize = 16;
/// And at most so many.
pub const ASK_SECRET_BYTES_MAX: usize = 256;
/// How long a call waits for what the customer's server answers, all tries together.
pub const ASK_WAIT: Duration = Duration::from_secs(2);
/// Bytes of a customer's server's answer; a longer one is none.
pub const ASK_ANSWER_BYTES_MAX: usize = 16 << 10;
/// Bytes of the head of that answer.
pub const ASK_HEAD_BYTES_MAX: usize = 16 << 10;
/// How long one try to connect to a customer's server may take.
pub const ASK_CONNECT_WAIT: Duration = Duration::from_millis(700);
/// Questions to customers' servers that are under way at once, those that wait for their turn included; what comes beyond
/// has no answer.
pub const ASKS_MAX: usize = 4_096;
/// Questions that one server is asked at once, unless the conf says otherwise.
pub const ASKS_PER_SERVER: usize = 32;
/// And at most, whatever the conf says.
pub const ASKS_PER_SERVER_MAX: usize = 1_024;
/// Questions that wait until one server has answered others.
pub const ASKS_WAITING_PER_SERVER_MAX: usize = 512;
/// Customers' servers of which something is remembered.
pub const ASK_SERVERS_MAX: usize = 4_096;
/// Connections to one of them that are kept open for the next question.
pub const ASK_IDLE_MAX: usize = 16;
/// And how long: shorter than servers are wont to, so that a question doesn't meet the end of its connection.
pub const ASK_IDLE_TIME: Duration = Duration::from_secs(4);
/// Failures of a server in a row after which it is left alone.
pub const ASK_FAILURES_MAX: u32 = 5;
/// And how long it is, until one question tries it again.
pub const ASK_OPEN_TIME: Duration = Duration::from_secs(5);

/// Bytes of one block of a recording: four seconds of two channels at 16 kHz (some recordings have blocks of a second), and
/// more than any second of packets. Longer ones are cut, and a file that says otherwise isn't ours.
pub const RECORDING_BLOCK_BYTES_MAX: usize = 256 << 10;
/// Marks in one block of a recording; of those beyond only what they add up to is kept.
pub const RECORDING_MARKS_MAX: usize = 64;
/// Bytes of the longest chain that is read: a sealed recording of 37 hours at 8 kHz, which is a WAV file of 4 GiB, has half
/// of it (537,000 lines of 254 bytes), and so there is room for two marks in each block. It is in memory as it is read, and
/// so are some 200 bytes for each line: of the longest call, 24 hours, 150 MB together, of one of an hour 6 MB.
pub const RECORDING_CHAIN_BYTES_MAX: u64 = 256 << 20;
/// How long a recording that isn't whole has to lie unwritten until it may go like those that are.
pub const RECORDING_LEFT_AFTER: Duration = Duration::from_secs(86_400);
/// Days that recordings may be said to be kept: a hundred years.
pub const RECORDINGS_KEEP_DAYS_MAX: u32 = 36_500;
/// Days for which records and recordings of the calls of 700 numbers are kept at least: the law's, which no conf shortens.
pub const SERVICE_700_KEPT_DAYS: u32 = 184;
/// Recordings that one look deletes as too old.
pub const RECORDINGS_DELETED_AT_ONCE: usize = 1_000;
/// Marks of a recording that its description shows; of those beyond only how many there are.
pub const RECORDING_MARKS_SHOWN_MAX: usize = 1_000;
/// Recordings that are read or checked at once over the API; the next one is told to come again.
pub const RECORDINGS_READ_AT_ONCE: usize = 64;
/// Those of them, apart, who have no more than a link.
pub const RECORDINGS_READ_BY_LINK: usize = 16;
/// How long whoever reads a recording may take nothing of what is there for him.
pub const RECORDING_READER_PATIENCE: Duration = Duration::from_secs(60);
/// The shortest and the longest time for which a link to a recording can be given, in seconds.
pub const RECORDING_LINK_S: std::ops::RangeInclusive<u64> = 60..=604_800;

/// Bytes of a file of the audit log, from which on another one is begun; of none more is in memory than where its recordings'
/// digits stand, some 5 MB.
pub const AUDIT_FILE_BYTES_MAX: u64 = 16 << 20;
/// Bytes of one line of the audit log; a longer one isn't ours.
pub const AUDIT_LINE_BYTES_MAX: u64 = 8 << 10;
/// Characters of a text in it; the rest is left out.
pub const AUDIT_TEXT_CHARS_MAX: usize = 200;
/// Lines of the recorder's own that wait while the audit log refuses; what comes beyond is found again, by what is on disk.
pub const AUDIT_NOTES_MAX: usize = 10_000;
/// Of those, how many are noted together.
pub const AUDIT_NOTES_AT_ONCE: usize = 1_000;
/// How long the recorder waits for what it asks the audit log; then it does without.
pub const AUDIT_ANSWERS_WITHIN: Duration = Duration::from_secs(1);

/// Bytes between one media thread and the recorder, at the least: more than half a second of 500 recorded calls.
pub const RECORDING_RING_BYTES: usize = 8 << 20;
/// Bytes of packets that are kept while a recording of the process before is opened: three seconds of a call.
pub const RECORDING_OPENING_BYTES: usize = 64 << 10;
/// Calls that are recorded at once on the smallest machine that is meant for it.
pub const RECORDED_CALLS_USUAL: usize = 500;
/// For how long their audio waits for a disk that stands still until some of it is left out: seconds.
pub const RECORDING_WAITING_S: usize = 10;
/// What a piece takes while it waits, beside its content, and what a job counts that has none.
pub const RECORDING_JOB_BYTES: usize = 512;
/// Bytes that wait for the disk of each recording: so long, two channels of 16-bit samples at 16 kHz, in blocks.
pub const RECORDING_WAITING_BYTES_EACH: usize =
    RECORDING_WAITING_S * (64_000 + RECORDING_BLOCKS_A_SECOND * RECORDING_JOB_BYTES);
/// Bytes of all recordings that wait for the disk; what comes beyond is left out, and marked.
pub const RECORDING_WAITING_BYTES_MAX: usize = RECORDED_CALLS_USUAL * RECORDING_WAITING_BYTES_EACH;
/// What may wait in any case, however few calls are recorded.
pub const RECORDING_WAITING_BYTES_FEW: usize = 64 << 20;
/// How long what was heard may wait for a disk that doesn't answer until that is said.
pub const RECORDING_STALLED_AFTER: Duration = Duration::from_secs(RECORDING_WAITING_S as u64);
/// Orders that wait for the recorder. No recording begins while half of them do; those that are open can end whatever waits,
/// and pauses beyond it are added up.
pub const RECORDING_ORDERS_MAX: usize = 65_536;
/// Bytes of their disk that recordings leave free where the conf doesn't say, unless a twentieth of the disk is less.
pub const RECORDINGS_KEEP_FREE: u64 = 1 << 30;
/// How long after a start recordings of the process before are waited for; then those that nobody goes on with end.
pub const RECORDING_ABANDONED_AFTER: Duration = Duration::from_secs(60);
