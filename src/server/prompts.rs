//! The prompts in force: what was read of their folder, and what is put there while the server runs.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::thread;

use crate::base::limits::{PROMPTS_MAX, PROMPTS_TIME_MAX};
use crate::call::prompts::Prompts;
use crate::config::Conf;
use crate::media::prompts::{self, BadFile, Place, Sound};
use crate::transport::shard::Message;

use super::joined::Joined;
use super::reload::InForce;

/// Reads the prompts of a conf that is to be in force: the files that can't be heard are logged, and come back.
pub(super) fn read(conf: &mut Conf) -> Vec<BadFile> {
    let found = prompts::read(&conf.prompts);
    for bad in &found.bad {
        tracing::warn!("a prompt can't be heard, and another is heard instead: {bad}");
    }
    conf.switch.prompts = Arc::new(found.prompts);
    found.bad
}

/// Makes what can be made ahead of calls, while they are taken already.
pub(super) fn prepare(prompts: Arc<Prompts>) {
    let made = thread::Builder::new()
        .name("prompts".into())
        .spawn(move || prompts.prepare());
    if let Err(error) = made {
        tracing::debug!("prompts are made when they are needed: {error}");
    }
}

impl Joined {
    /// Writes a prompt to the folder; calls that begin now hear it. Where it is.
    pub(super) fn put_prompt(&self, place: &Place, sound: &Sound) -> Result<PathBuf, String> {
        let prompt = place.prompt(sound);
        prompt.clip.prepare();
        let mut in_force = self.conf.lock().unwrap_or_else(PoisonError::into_inner);
        let mut prompts = Prompts::clone(&in_force.conf.switch.prompts);
        prompts.remove(&place.owner, place.language, &place.name);
        let others = prompts.list();
        let others = others.iter().filter(|other| Place::of(other).is_own());
        let (count, lasts) = others.fold((0, sound.lasts()), |(count, lasts), other| {
            (count + 1, lasts.saturating_add(other.clip.lasts()))
        });
        if count >= PROMPTS_MAX || lasts > PROMPTS_TIME_MAX {
            let most = PROMPTS_TIME_MAX.as_secs() / 60;
            return Err(format!(
                "there is room for {PROMPTS_MAX} prompts, of {most} min together: remove others"
            ));
        }
        let path = prompts::put(&in_force.conf.prompts, place, sound).map_err(|bad| bad.to_string())?;
        prompts.add(prompt);
        self.speak(&mut in_force, prompts);
        in_force.bad_prompts.retain(|bad| bad.path != path);
        Ok(path)
    }

    /// Takes a prompt out of the folder; `false`: there was none.
    pub(super) fn remove_prompt(&self, place: &Place) -> Result<bool, String> {
        let mut in_force = self.conf.lock().unwrap_or_else(PoisonError::into_inner);
        let config = in_force.conf.prompts.clone();
        let was_there = prompts::remove(&config, place).map_err(|bad| bad.to_string())?;
        let mut prompts = Prompts::clone(&in_force.conf.switch.prompts);
        prompts.remove(&place.owner, place.language, &place.name);
        self.speak(&mut in_force, prompts);
        let path = config.dir.join(place.path());
        in_force.bad_prompts.retain(|bad| bad.path != path);
        Ok(was_there)
    }

    /// The files that can't be heard, a line each.
    pub(super) fn bad_prompts(&self) -> Vec<String> {
        let in_force = self.conf.lock().unwrap_or_else(PoisonError::into_inner);
        in_force.bad_prompts.iter().map(ToString::to_string).collect()
    }

    /// Calls that begin from now on hear these; those in progress what they began with.
    fn speak(&self, in_force: &mut InForce, prompts: Prompts) {
        let prompts = Arc::new(prompts);
        in_force.conf.switch.prompts = prompts.clone();
        let mut config = self.config.load().as_ref().clone();
        config.prompts = prompts;
        config.go_on_from(&self.config.load());
        let config = Arc::new(config);
        self.config.store(config.clone());
        for shard in 0..self.doors.len() {
            self.say(shard, [Message::Config(config.clone())]);
        }
    }
}
