# SPDX-License-Identifier: Apache-2.0
from envoy_pyfilter import Config, Filter, Reply


class GateConfig(Config):
    header: str = "x-team"


class Gate(Filter):
    Config = GateConfig

    def on_request_headers(self, stream, end_of_stream):
        if self.config.header not in stream.request_headers:
            return Reply(403, b"which team are you from?\n")
