//! `-Y`, `-S`, `-Z`: who may enter.

use super::super::draft::{Draft, Placed};
use super::super::guard::parse_path;
use super::{Options, Reader};

impl Reader<'_> {
    /// What `-o` says beside them was read before.
    pub(super) fn guard(&mut self, options: &Options, draft: &mut Draft) {
        draft.guard.text = self.value("--auth-file", &options.auth_file, parse_path);
        if options.enable_sasl {
            draft.guard.sasl = Some(self.report.add_option("--enable-sasl", ""));
        }
        if draft.guard.sasl_passwords.is_none() && options.enable_sasl {
            draft.guard.sasl_passwords =
                self.value("MEMCACHED_SASL_PWDB", &options.sasl_passwords_of_environment, parse_path);
        }
        if options.enable_ssl {
            let place = self.report.add_option("--enable-ssl", "");
            draft.guard.tls = Some(Placed { value: true, place });
        }
    }
}
