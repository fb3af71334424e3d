//! A call is recorded: from when on, until when, and what its record says of that.

use super::{
    Begin, Control, Controlled, Course, Fate, Fault, Goes, Kept, Order, Over, Recording, Report, Sound,
    TooShort, Why,
};
use crate::base::time::{Now, Wall};
use crate::call::cdr::Cdr;
use crate::call::config::Config;
use crate::call::hands::Hands;
use crate::call::noted;
use crate::call::phase::{Call, Recorded};
use crate::call::port::{LegName, Output};
use crate::call::warrant::Warrant;
use crate::masking::binding::Binding;
use crate::masking::cues::Hearers;
use crate::masking::recording::{Since, Wish};

/// Why a call of this binding has no recording as long as nobody has answered. `wish` is what its pool and account want,
/// `record` says by which trunks it goes.
pub(in crate::call) fn before_answer(config: &Config, binding: &Binding, wish: Wish, record: &Cdr) -> Why {
    let wants = |name: &str| {
        let trunk = config.trunks.iter().find(|trunk| &*trunk.name == name);
        trunk.is_some_and(|trunk| trunk.record)
    };
    let trunks = [Some(record.trunk_in.as_str()), record.trunk_out.as_deref()];
    if !binding.terms.record && !wish.record && !trunks.into_iter().flatten().any(wants) {
        Why::NotAsked
    } else if noted::never_records(binding) {
        Why::Class95
    } else if config.recordings.is_none() {
        Why::Off
    } else {
        Why::NotAnswered
    }
}

impl Call {
    /// Why it isn't recorded while it isn't. A call for help never is.
    fn not_recorded(&self) -> Why {
        let plan = self.warrant.as_ref().and_then(Warrant::plan);
        plan.map_or(Why::NotAsked, |plan| {
            before_answer(&self.config, plan.binding(), self.wish, &self.record)
        })
    }

    /// Whether it is being recorded, as far as is known: what isn't needn't be told to anybody.
    pub(in crate::call) fn is_being_recorded(&self) -> bool {
        self.recording.as_ref().is_some_and(|course| course.is_kept())
    }

    /// Who has to be told that it is recorded: whoever its binding, its pool, its account or one of its trunks names.
    pub(in crate::call) fn told_of_recording(&self) -> Option<Hearers> {
        let plan = self.warrant.as_ref().and_then(Warrant::plan)?;
        let record = &self.record;
        let trunks = [Some(record.trunk_in.as_str()), record.trunk_out.as_deref()];
        let trunks = trunks.into_iter().flatten().filter_map(|name| {
            let trunk = self.config.trunks.iter().find(|trunk| &*trunk.name == name);
            trunk?.record_tone
        });
        let own = plan.binding().terms.cues().record_tone;
        let told = Hearers::of_both(own, self.wish.tone);
        trunks.fold(told, |told, tone| Hearers::of_both(told, Some(tone)))
    }

    /// Somebody is called: the record says why there is no recording, should nobody answer.
    pub(in crate::call) fn note_recording(&mut self) {
        if self.recording.is_none() {
            self.record.recording = Recording::none(self.not_recorded());
        }
    }

    /// The caller hears the called side before it answers. Where somebody has to be told that the call is recorded, nothing
    /// that is said before that is: the sentence comes behind the answer, and is the recording's beginning.
    pub(in crate::call) fn record_early(&mut self, hands: &mut Hands, now: Now) {
        if self.told_of_recording().is_some() {
            return;
        }
        let of_conf = self.config.recordings.map(|recordings| recordings.since);
        match self.wish.since.or(of_conf) {
            Some(Since::EarlyMedia) => self.record_from_now(hands, now),
            Some(Since::Answer) | None => {}
        }
    }

    /// It is recorded from now on, if it is to be and isn't already.
    pub(in crate::call) fn record_from_now(&mut self, hands: &mut Hands, now: Now) {
        if self.recording.is_some() {
            return;
        }
        match self.not_recorded() {
            Why::NotAnswered => {}
            why @ (Why::NotAsked | Why::Class95 | Why::Off | Why::TooShort | Why::Lost(_)) => {
                self.record.recording = Recording::none(why);
                return;
            }
        }
        let course = Box::new(Course::begin(now));
        let begin = self.beginning(&course, now);
        self.recording = Some(course);
        self.note_course(now);
        hands.out.push_back(Output::Record(Order::Begin(begin)));
        self.bridge.tap(hands, Some(self.record.call_id));
        self.await_code(hands);
    }

    /// What another process has to know: the recording, or why there is none.
    pub(in crate::call) fn recorded(&self) -> Result<Kept, Why> {
        if let Some(course) = &self.recording {
            let mut course = (**course).clone();
            self.hear_fax(&mut course);
            return Ok(course.kept());
        }
        match self.record.recording.fate {
            Fate::None(why) => Err(why),
            Fate::Kept | Fate::Gaps(_) => Err(Why::NotAsked),
        }
    }

    /// A process before this one, which `died` then, has said that. A recording goes on with its call, with what nobody heard
    /// missing; it has ended there if the call doesn't go on, or there is no recorder any more.
    pub(in crate::call) fn record_on(
        &mut self,
        hands: &mut Hands,
        now: Now,
        recorded: Option<Result<Kept, Why>>,
        (goes, died): (Goes, Wall),
    ) {
        let kept = match recorded {
            Some(Ok(kept)) => kept,
            Some(Err(why)) => {
                self.record.recording = Recording::none(why);
                return;
            }
            None => return,
        };
        let id = self.record.call_id;
        let recorder = self.config.recordings;
        let until = match (recorder, goes) {
            (Some(_), Goes::On) => now.wall,
            (None, _) | (_, Goes::NoFurther) => died,
        };
        let mut course = Box::new(Course::of_kept(kept, now, until));
        match (course.over, recorder, goes) {
            (Some(_), ..) => {}
            (None, None, _) => {
                course.control(now, Control::Resume);
                course.over = Some(Over::Whole);
            }
            (None, Some(recordings), Goes::NoFurther) => {
                let order = match course.end(now, recordings.shortest) {
                    Over::Whole => Order::EndLeft(id, course.began),
                    Over::TooShort => course.too_short(id, recordings.shortest),
                };
                hands.out.push_back(Output::Record(order));
            }
            // Lost, it stays so, as it does without a restart: nobody would be told that it begins anew.
            (None, Some(_), Goes::On) if !course.is_kept() => {
                course.over = Some(Over::Whole);
                hands
                    .out
                    .push_back(Output::Record(Order::EndLeft(id, course.began)));
            }
            (None, Some(_), Goes::On) => {
                let begin = self.beginning(&course, now);
                hands.out.push_back(Output::Record(Order::GoOn(begin)));
                if course.paused.is_some() {
                    hands.out.push_back(Output::Record(Order::Pause(id, now.at)));
                }
                self.bridge.tap(hands, Some(id));
            }
        }
        self.recording = Some(course);
        self.note_course(now);
        self.await_code(hands);
    }

    fn beginning(&self, course: &Course, now: Now) -> Box<Begin> {
        let plan = self.warrant.as_ref().and_then(Warrant::plan);
        Box::new(Begin {
            recording: self.record.call_id,
            call_id: self.record.call_id,
            binding_id: self.record.binding_id,
            account: self.record.account.as_str().into(),
            at_least_days: plan.and_then(|plan| noted::kept_at_least(plan.binding())),
            began: course.began,
            at: now.at,
            lasted: course.lasts(now.at),
            sounds: self.sounds(),
        })
    }

    /// How what is heard on both legs is coded.
    fn sounds(&self) -> Sound {
        let legs = [LegName::Caller, LegName::Callee].map(|leg| self.bridge.coded(leg));
        if legs.contains(&Sound::Unread) {
            Sound::Unread
        } else if legs.contains(&Sound::Wide) {
            Sound::Wide
        } else {
            Sound::Narrow
        }
    }

    /// The talk is over, or what was heard before it: nothing is recorded any more.
    pub(in crate::call) fn stop_recording(&mut self, hands: &mut Hands, now: Now) {
        let Some(course) = self.recording.as_mut().filter(|course| course.runs()) else {
            return;
        };
        let shortest = self.config.recordings.map(|recordings| recordings.shortest);
        let shortest = shortest.unwrap_or_default();
        let id = self.record.call_id;
        let order = match course.end(now, shortest) {
            Over::Whole => Order::End(id, now.at),
            Over::TooShort => course.too_short(id, shortest),
        };
        self.bridge.tap(hands, None);
        hands.out.push_back(Output::Record(order));
        self.note_course(now);
        self.await_code(hands);
    }

    /// What its record says of the recording that there is.
    fn note_course(&mut self, now: Now) {
        if let Some(mut course) = self.recording.take() {
            self.hear_fax(&mut course);
            self.record.recording = course.record(self.record.call_id, now.at);
            self.recording = Some(course);
        }
    }

    /// What was faxed isn't heard.
    fn hear_fax(&self, course: &mut Course) {
        if self.bridge.was_faxed() {
            course.hear(&Report::Gap {
                recording: self.record.call_id,
                why: Fault::Codec,
            });
        }
    }

    /// Pauses its recording, or goes on with it.
    pub(in crate::call) fn control_recording(
        &mut self,
        hands: &mut Hands,
        now: Now,
        control: Control,
    ) -> Controlled {
        let Some(course) = self.recording.as_mut().filter(|course| course.runs()) else {
            return match self.record.recording.fate {
                Fate::None(why) => Controlled::NotRecorded(why),
                Fate::Kept | Fate::Gaps(_) => Controlled::Over,
            };
        };
        if course.control(now, control) {
            let id = self.record.call_id;
            hands.out.push_back(Output::Record(match control {
                Control::Pause => Order::Pause(id, now.at),
                Control::Resume => Order::Resume(id, now.at),
            }));
            self.note_course(now);
        }
        Controlled::Done
    }

    /// Its recording was too short, says its record of a process before: the recorder may not have been told any more.
    pub(in crate::call) fn drop_again(&self) -> Order {
        let began = self.recording.as_ref().map(|course| course.began);
        let answered = self.record.answered_at.unwrap_or(self.record.arrived_at);
        let recordings = self.config.recordings.unwrap_or_default();
        Order::Drop(TooShort {
            recording: self.record.call_id,
            began: began.unwrap_or(answered),
            shortest: recordings.shortest,
        })
    }

    /// The recorder says that something isn't kept. What comes when the record is out is nowhere but in the recording.
    pub(in crate::call) fn recording_reported(&mut self, now: Now, report: &Report) {
        if self.recorded == Recorded::Out {
            return;
        }
        if let Some(course) = &mut self.recording {
            course.hear(report);
            self.note_course(now);
        }
    }
}
