"""The secrets of a site's webhooks, from their files."""

from collections.abc import Sequence

from edges.config.secret_file import SecretFile
from edges.config.site import Site
from edges.config.webhook_table import Webhook
from vitals.errors import PermanentError

SAFE_LENGTH = 16  # characters; a shorter secret can be guessed from another machine


def find_problems(site: Site) -> list[str]:
    """Return what is wrong with the files of secrets, one sentence for each."""
    problems = []
    for webhook in site.webhook:
        for path in (*webhook.secret_files, *([webhook.verify_file] if webhook.verify_file else [])):
            try:
                length = len(SecretFile(path, webhook.name, 1).value)
            except PermanentError as error:
                problems.append(str(error))
                continue
            if length < SAFE_LENGTH and path != webhook.verify_file:
                problems.append(f"{path}: the secret of {webhook.name} has less than {SAFE_LENGTH} characters")
    return problems


class Secrets:
    """Read the secrets; raises PermanentError that names a file that cannot be used."""

    def __init__(self, site: Site) -> None:
        self._files = {
            webhook.name: [SecretFile(path, webhook.name, 1) for path in webhook.secret_files]
            for webhook in site.webhook
        }
        self._codes = {
            webhook.name: SecretFile(webhook.verify_file, webhook.name, 1)
            for webhook in site.webhook
            if webhook.verify_file is not None
        }

    def of(self, webhook: Webhook) -> Sequence[bytes]:
        """Return the secrets of a webhook that can be used now."""
        return [file.value for file in self._files[webhook.name] if file.value]

    def code_of(self, webhook: Webhook) -> bytes:
        """Return the code by which its provider verifies the address; empty without one."""
        return self._codes[webhook.name].value if webhook.name in self._codes else b""

    def find_short(self) -> str:
        """Return the path of a secret that is too short for a listener that other machines reach, or nothing."""
        files = (file for of_webhook in self._files.values() for file in of_webhook)
        return next((str(file.path) for file in files if len(file.value) < SAFE_LENGTH), "")

    def renew(self) -> None:
        """Read changed files; a file that cannot be used ends the access with its secret."""
        for files in (*self._files.values(), self._codes.values()):
            for file in files:
                file.renew()
