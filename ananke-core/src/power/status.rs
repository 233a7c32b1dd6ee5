//! The words of `ups.status`.

use crate::observation::UpsReading;

/// A word of `ups.status` that means something here (NUT's developer guide, "Status data"). Others are kept in the reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    OnLine,
    OnBattery,
    LowBattery,
    HighBattery,
    ReplaceBattery,
    Charging,
    Discharging,
    /// Mains go through, and no battery stands behind them.
    Bypass,
    Calibrating,
    Off,
    Overload,
    Trim,
    Boost,
    /// The primary of this UPS has told everybody to go down, since it will be switched off.
    ForcedShutdown,
    Alarm,
}

/// Where the power comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Supply {
    Line,
    Battery,
    /// The UPS runs its battery down by itself to measure it: mains are there.
    Calibration,
    /// Nothing says so: some say only `OFF` for the first seconds of a self-test.
    Unclear,
}

impl Word {
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "OL" => Self::OnLine,
            "OB" => Self::OnBattery,
            "LB" => Self::LowBattery,
            "HB" => Self::HighBattery,
            "RB" => Self::ReplaceBattery,
            "CHRG" => Self::Charging,
            "DISCHRG" => Self::Discharging,
            "BYPASS" => Self::Bypass,
            "CAL" => Self::Calibrating,
            "OFF" => Self::Off,
            "OVER" => Self::Overload,
            "TRIM" => Self::Trim,
            "BOOST" => Self::Boost,
            "FSD" => Self::ForcedShutdown,
            "ALARM" => Self::Alarm,
            _ => return None,
        })
    }
}

impl UpsReading {
    pub fn has(&self, word: Word) -> bool {
        self.status.iter().any(|text| Word::parse(text) == Some(word))
    }

    /// What a reading says of both, `OL` and `OB`, is believed for the worse.
    pub fn supply(&self) -> Supply {
        if self.has(Word::Calibrating) { Supply::Calibration } else { self.supply_beside_calibration() }
    }

    /// The same by its other words.
    pub(super) fn supply_beside_calibration(&self) -> Supply {
        if self.has(Word::OnBattery) {
            Supply::Battery
        } else if self.has(Word::OnLine) || self.has(Word::Bypass) {
            Supply::Line
        } else {
            Supply::Unclear
        }
    }

    /// What a person should hear of though nothing follows from it.
    pub fn worries(&self) -> Vec<String> {
        let told = [
            (Word::ReplaceBattery, "wants a new battery (RB)"),
            (Word::Bypass, "is in bypass: mains go through, and no battery stands behind them (BYPASS)"),
            (Word::Overload, "is overloaded (OVER)"),
            (Word::Alarm, "raises an alarm (ALARM)"),
            (Word::Off, "says that its output is off (OFF)"),
            (Word::Calibrating, "says that it measures its battery (CAL): where that lasts for an hour, restart its driver"),
        ];
        let mut worries: Vec<String> =
            told.iter().filter(|(word, _)| self.has(*word)).map(|(_, text)| (*text).to_owned()).collect();
        if self.supply() == Supply::Unclear {
            worries.push(format!("does not say where its power comes from: {:?}", self.status.join(" ")));
        }
        if self.has(Word::OnLine) && !self.has(Word::OnBattery) && self.has(Word::Discharging) {
            let driver = "usbhid-ups has onlinedischarge_onbattery for that";
            worries.push(format!("is on line and draws on its battery all the same (OL DISCHRG): {driver}"));
        }
        worries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(status: &str) -> UpsReading {
        UpsReading { status: status.split(' ').map(Into::into).collect(), charge_percent: None, runtime: None }
    }

    #[test]
    fn where_the_power_comes_from() {
        for (status, supply) in [
            ("OL", Supply::Line),
            ("OL CHRG", Supply::Line),
            ("OL TRIM", Supply::Line),
            ("OL BOOST", Supply::Line),
            ("OL DISCHRG", Supply::Line),
            ("OL BYPASS", Supply::Line),
            ("BYPASS", Supply::Line),
            ("OB DISCHRG", Supply::Battery),
            ("OB DISCHRG LB", Supply::Battery),
            ("OL OB", Supply::Battery),
            ("FSD OL", Supply::Line),
            ("OL CAL", Supply::Calibration),
            ("OB CAL DISCHRG", Supply::Calibration),
            ("OFF", Supply::Unclear),
            ("ALARM", Supply::Unclear),
            ("WAIT", Supply::Unclear),
        ] {
            assert_eq!(reading(status).supply(), supply, "{status}");
        }
    }

    #[test]
    fn what_has_no_consequence_is_told() {
        assert!(reading("OL CHRG").worries().is_empty());
        assert_eq!(reading("OL RB").worries(), ["wants a new battery (RB)"]);
        assert!(reading("OB DISCHRG").worries().is_empty());
        assert_eq!(
            reading("OL DISCHRG").worries(),
            ["is on line and draws on its battery all the same (OL DISCHRG): usbhid-ups has onlinedischarge_onbattery for that"]
        );
        assert_eq!(
            reading("OL CAL").worries(),
            ["says that it measures its battery (CAL): where that lasts for an hour, restart its driver"]
        );
        assert_eq!(reading("ECO").worries(), ["does not say where its power comes from: \"ECO\""]);
    }
}
