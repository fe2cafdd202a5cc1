//! Owns the fuzzing of what people type: it is refused, or shown as it was typed.

#![no_main]

use std::sync::LazyLock;

use jitsu_store::{BranchName, Id, IdPrefix, Path, Step, Store};
use jitsu_store_fuzz::sample;
use libfuzzer_sys::fuzz_target;

static STORE: LazyLock<Store> = LazyLock::new(|| sample().1);

fuzz_target!(|text: &str| {
    if let Ok(path) = text.parse::<Path>() {
        assert_eq!(path.to_string().parse::<Path>().unwrap(), path);
        assert_eq!(Path::from_steps(path.iter().cloned()).unwrap(), path);
        let joined = path.join(&path);
        assert!(joined.is_err() || joined.is_ok_and(|it| it.starts_with(&path)));
    }
    if let Ok(step) = Step::new(text) {
        assert_eq!(step.as_str(), text);
        let path = Path::from_steps([step]).unwrap();
        assert_eq!(path.to_string().parse::<Path>().unwrap(), path);
    }
    if let Ok(name) = BranchName::new(text) {
        assert_eq!(name.to_string(), text);
    }
    if let Ok(id) = text.parse::<Id>() {
        assert_eq!(id.to_string(), text);
        assert!(text.parse::<IdPrefix>().unwrap().matches(&id));
    }
    drop(STORE.find_commits(text));
    drop(STORE.resolve(text));
    drop(STORE.resolve(&format!("main~{text}")));
    drop(STORE.resolve(&format!("{text}~")));
});
