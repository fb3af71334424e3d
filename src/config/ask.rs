//! `[ask]`: how customers' servers are asked about calls.

use std::path::Path;

use super::reader::Section;
use crate::base::limits::{ASKS_PER_SERVER, ASKS_PER_SERVER_MAX};
use crate::customer::Config;
use crate::customer::dial::Roots;

/// Reads the table.
pub(super) fn read(root: &Section<'_>) -> Config {
    let section = root.section("ask", "[ask]", &["ca", "per_server"]);
    let ca = section.parsed("ca", None, |text| match text {
        "" => Ok(None),
        file => {
            let cure = |error| format!("{error}: name a PEM file of certificates that we can read");
            Roots::read(Path::new(file)).map(Some).map_err(cure)
        }
    });
    let most = u32::try_from(ASKS_PER_SERVER_MAX).unwrap_or(u32::MAX);
    let default = u32::try_from(ASKS_PER_SERVER).unwrap_or(most);
    Config {
        ca,
        per_server: section.integer("per_server", 1..=most, default) as usize,
    }
}
