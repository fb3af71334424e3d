//! Floor 1, the language of session descriptions (RFC 8866) and of offer and answer (RFC 3264).
//!
//! A description is read into what we understand of it, and written from that alone: nothing that one
//! party wrote reaches the other but codecs, their known parameters, packet length and direction.
//!
//! # How the switch uses it
//!
//! Each leg of a call is a dialog of its own, with its own m-lines ([`Lines`](answer::Lines)), its own
//! payload numbers and its own [`Origin`](media::Origin); what a leg has settled is an
//! [`Agreed`](answer::Agreed). The two legs are joined by codec, never by number.
//!
//! ```text
//! A calls with an offer      offer = Offer::read(&parse(body)?, codecs, &ours, None)?           Err → 488
//! B is offered it            terms = offer.onward(None)
//!                            build::write(origin, here, &Lines::one(), &terms, &line)           A's numbers are kept
//! B answers (each fork)      b = terms.check(&Lines::one(), &parse(body)?)?              Err → end B, A gets 488
//! A is answered              (answer, a) = offer.answer(&b, None)?
//!                            build::write(origin, here, &offer.lines, &answer)
//! the flows are told         rows(&a, Some(&b)) for A's port, rows(&b, Some(&a)) for B's;
//!                            remote = a.rtp, a.rtcp; way = a.way (seen from us: SendOnly is "we send")
//!
//! A calls without            terms = Terms::list(&CodecName::DEFAULT) → B; b = terms.check(…)
//!                            offer to A: terms_a = b.onward(None), Lines::one(); A's ACK: a = terms_a.check(…)
//!
//! a leg offers again         offer = Offer::read(&parse(body)?, codecs, &ours, Some(&its_lines))?
//!                            offer.changes(&near, &far): if it .crosses(), offer.onward(Some(&far)) goes to the
//!                            other leg (its own Lines), whose check() is the new far; either way
//!                            (answer, near) = offer.answer(&far, Some(&near))? is our answer
//! another fork won           if none of its audio codecs is in what A was told: A gets a re-INVITE with
//!                            b2.onward(Some(&a)), A's own Lines
//! ```
//!
//! What secures a leg's media ([`crypto`]) is that leg's own affair, as its numbers are: an `Offer` and an `Agreed` have
//! it, `Terms` have not, so no key crosses.
//!
//! A description that is sent again within its dialog unchanged keeps its version; a changed one gets the
//! next (RFC 3264 §8).
pub mod answer;
pub mod build;
pub mod crypto;
pub mod fax;
pub mod fmtp;
pub mod media;
pub mod parse;
