//! The documented example says what the defaults are.

use toolstack::Config;

#[test]
fn the_example_is_the_default() {
    let text = include_str!("../../toolstack.example.toml");
    let config: Config = jitsu_daemon::config::parse(text).expect("the example is right");
    assert_eq!(config, Config::default());
}
