//! Floor 2, the law: bindings compile to rules, and [`route`](route::route) decides who reaches whom.

pub mod binding;
pub mod change;
pub mod inventory;
pub mod mode;
pub mod reason;
pub mod request;
pub mod route;
pub mod rule;
pub mod table;
