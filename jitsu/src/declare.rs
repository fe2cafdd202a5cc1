//! Services and domains as people write them: a TOML file.
//!
//! Owns the form of the file (`[service.NAME]` and `[domain.NAME]` tables) and turning it into
//! requests. It must not know the command line.

use std::collections::BTreeMap;
use std::path::Path;

use jitsu_daemon::config::{ConfigError, Wrong as Mistake};
use jitsu_proto::{DomainSpec, Name, Request, ServiceSpec};
use serde::Deserialize;
use toml::Table;

use crate::config::{Wrong, check_service};

/// A file of services and domains.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declarations {
    /// `[service.NAME]`.
    #[serde(default)]
    pub service: BTreeMap<Name, ServiceSpec>,
    /// `[domain.NAME]`.
    #[serde(default)]
    pub domain: BTreeMap<Name, DomainSpec>,
}

/// Why a declaration is refused.
#[derive(Debug, thiserror::Error)]
pub enum DeclareError {
    /// The file cannot be read or understood.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A text is not understood.
    #[error("{0}")]
    Mistake(Mistake),
    /// A service makes no sense.
    #[error("service {name}: {wrong}")]
    Service {
        /// The service.
        name: Name,
        /// What is wrong.
        wrong: Wrong,
    },
    /// A setting is not understood.
    #[error("{setting}: {what}{}", nearest.as_ref().map_or_else(String::new, |known| format!("; did you mean `{known}`?")))]
    Value {
        /// The setting.
        setting: String,
        /// What is wrong.
        what: String,
        /// The known word nearest to the one that is not known.
        nearest: Option<String>,
    },
    /// The path of a setting leads nowhere.
    #[error("{0:?} is not a setting: write KEY=VALUE, as in idle=30s or domain.memory_mib=64")]
    Setting(String),
}

impl Declarations {
    /// Reads and checks the file at `path`.
    pub fn load(path: &Path) -> Result<Declarations, DeclareError> {
        let all: Declarations = jitsu_daemon::config::load(path)?;
        all.check()?;
        Ok(all)
    }

    /// Reads and checks `text`.
    pub fn parse(text: &str) -> Result<Declarations, DeclareError> {
        let all: Declarations = jitsu_daemon::config::parse(text).map_err(DeclareError::Mistake)?;
        all.check()?;
        Ok(all)
    }

    fn check(&self) -> Result<(), DeclareError> {
        for (name, spec) in &self.service {
            check_service(spec)
                .map_err(|wrong| DeclareError::Service { name: name.clone(), wrong })?;
        }
        Ok(())
    }

    /// As the text of a file.
    pub fn to_toml(&self) -> String {
        let mut all = Table::new();
        let services = self.service.iter().map(|(name, spec)| (name.to_string(), table(spec)));
        let domains = self.domain.iter().map(|(name, spec)| (name.to_string(), table(spec)));
        for (kind, tables) in
            [("service", Table::from_iter(services)), ("domain", Table::from_iter(domains))]
        {
            if !tables.is_empty() {
                all.insert(kind.to_owned(), toml::Value::Table(tables));
            }
        }
        toml::to_string_pretty(&all).expect("BUG: every spec can be written as TOML")
    }

    /// With one setting of the service `name`, or (`domain.KEY`) of its domain, changed.
    pub fn set(&self, name: &Name, setting: &str) -> Result<Declarations, DeclareError> {
        let wrong = || DeclareError::Setting(setting.to_owned());
        let (key, value) = setting.split_once('=').ok_or_else(wrong)?;
        let (kind, owner, key) = match key.strip_prefix("domain.") {
            Some(key) => ("domain", self.domain_of(name), key),
            None => ("service", name, key),
        };
        let mut steps: Vec<&str> =
            [kind, owner.as_str()].into_iter().chain(key.split('.')).collect();
        let last = steps.pop().ok_or_else(wrong)?;
        let mut all: Table = self.to_toml().parse().expect("BUG: our own TOML is understood");
        let mut at = &mut all;
        for step in steps {
            let below = at.entry(step).or_insert_with(|| toml::Value::Table(Table::new()));
            at = below.as_table_mut().ok_or_else(wrong)?;
        }
        at.insert(last.to_owned(), value_of(value));
        Declarations::parse(&all.to_string()).map_err(|error| match error {
            // The place in a text that nobody wrote helps nobody.
            DeclareError::Mistake(Mistake { what, nearest, .. }) => {
                DeclareError::Value { setting: setting.to_owned(), what, nearest }
            }
            error => error,
        })
    }

    /// The domain that runs a service.
    fn domain_of<'a>(&'a self, service: &'a Name) -> &'a Name {
        self.service.get(service).and_then(|spec| spec.domain.as_ref()).unwrap_or(service)
    }

    /// The requests that make it so. Domains come before the services that they run.
    pub fn requests(&self, branch: Option<&str>) -> Vec<Request> {
        let branch = branch.map(str::to_owned);
        let domains = self.domain.iter().map(|(name, spec)| Request::DefineDomain {
            name: name.clone(),
            spec: spec.clone(),
            branch: branch.clone(),
        });
        let services = self.service.iter().map(|(name, spec)| Request::DefineService {
            name: name.clone(),
            spec: spec.clone(),
            branch: branch.clone(),
        });
        domains.chain(services).collect()
    }
}

fn table(spec: &impl serde::Serialize) -> toml::Value {
    toml::Value::try_from(spec).expect("BUG: every spec can be written as TOML")
}

/// What was typed: a value of TOML, or else a text without its quotes.
fn value_of(text: &str) -> toml::Value {
    let parsed: Result<Table, _> = format!("value = {text}").parse();
    let value = parsed.ok().and_then(|mut table| table.remove("value"));
    value.unwrap_or_else(|| toml::Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is documented to work on Xen; the toolstack's own check is run over it in its tests.
    #[test]
    fn the_examples_for_xen_are_understood() {
        let all = Declarations::parse(include_str!("../examples/xen.toml")).expect("right");
        assert_eq!(all.service.len(), all.domain.len());
        assert_eq!(Declarations::parse(&all.to_toml()).expect("right"), all);
    }

    const FILE: &str = r#"
[domain.www]
guest = { hello = { port = 8080 } }

[service.www]
names = ["www.example.org"]
listen = [{ on = "127.0.0.1:8001", to = 8080 }]
ready = { port = 8080 }
idle = "5s"
"#;

    fn name() -> Name {
        Name::new("www").expect("a name")
    }

    #[test]
    fn what_is_written_is_read_again() {
        let all = Declarations::parse(FILE).expect("it is right");
        assert_eq!(Declarations::parse(&all.to_toml()).expect("it is right"), all);
        assert_eq!(all.requests(None).len(), 2);
    }

    #[test]
    fn a_setting_changes_one_thing() {
        let all = Declarations::parse(FILE).expect("it is right");
        let changed = all.set(&name(), "idle=2m").expect("a setting");
        assert_eq!(changed.service[&name()].idle.to_string(), "2m");
        let changed = changed.set(&name(), "domain.memory_mib=128").expect("a setting");
        assert_eq!(changed.domain[&name()].memory_mib, 128);
        let changed = changed.set(&name(), "ready={ delay = \"1s\" }").expect("a setting");
        assert_ne!(changed.service[&name()].ready, all.service[&name()].ready);
    }

    #[test]
    fn a_wrong_setting_is_told() {
        let all = Declarations::parse(FILE).expect("it is right");
        let error = |setting| all.set(&name(), setting).expect_err("it is wrong").to_string();
        assert!(error("idle").contains("KEY=VALUE"), "{}", error("idle"));
        assert!(error("idel=1s").contains("did you mean `idle`?"), "{}", error("idel=1s"));
        assert!(error("hold_max=0s").contains("hold_max must be more than zero"));
        assert!(error("idle=soon").contains("is not a duration"));
    }
}
