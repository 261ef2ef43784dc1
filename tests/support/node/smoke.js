// A client that is not Python: @grpc/grpc-js through two gateways, as its own documentation has it.
//
// node smoke.js CASE CONFIG.json; CONFIG names the address, the program's identity, the protos and the x-road metadata.
// Prints what the program saw as one JSON object; it exits 0 whether or not the call succeeded.
'use strict';

const fs = require('fs');
const path = require('path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const [, , wanted, file] = process.argv;
const config = JSON.parse(fs.readFileSync(file, 'utf8'));

const definition = loader.loadSync(path.join('src', 'proto', 'grpc', 'testing', 'test.proto'), {
  includeDirs: [config.protos],
  keepCase: true,
  enums: String,
  defaults: true,
});
const { TestService } = grpc.loadPackageDefinition(definition).grpc.testing;

const read = (name) => fs.readFileSync(path.join(config.identity, name));
const credentials = grpc.credentials.createSsl(read('ca.pem'), read('identity.key'), read('identity.crt'));

function connect(options = {}) {
  return new TestService(config.address, credentials, options);
}

function metadata(changes = {}) {
  const found = new grpc.Metadata();
  for (const [name, value] of Object.entries({ ...config.metadata, ...changes })) found.set(name, value);
  return found;
}

const deadline = (ms) => ({ deadline: Date.now() + ms });
const patient = deadline(20000);
const payload = (size) => ({ body: Buffer.alloc(size) });
const sizes = (...found) => found.map((size) => ({ size }));

function failed(error) {
  const details = error.metadata && error.metadata.get('grpc-status-details-bin')[0];
  return { code: error.code, message: error.details, details: details ? details.toString('base64') : null };
}

// One call of whatever kind: its messages, initial metadata and status, gathered until it has ended.
function follow(call, onMessage = () => {}) {
  return new Promise((resolve) => {
    const seen = { messages: [], initial: {}, code: null };
    call.on('metadata', (found) => Object.assign(seen.initial, found.getMap()));
    call.on('data', (message) => {
      seen.messages.push(message.payload.body.length);
      onMessage(seen.messages.length, message);
    });
    call.on('error', (error) => Object.assign(seen, failed(error)));
    call.on('status', (status) => {
      seen.code = status.code;
      seen.trailing = status.metadata.getMap();
      resolve(seen);
    });
  });
}

function unary(client, request, entries, options = patient) {
  return new Promise((resolve) => {
    const seen = { initial: {} };
    const call = client.UnaryCall(request, entries, options, (error, response) => {
      if (error) Object.assign(seen, failed(error));
      else seen.size = response.payload.body.length;
    });
    call.on('metadata', (found) => Object.assign(seen.initial, found.getMap()));
    call.on('status', (status) => {
      seen.code = status.code;
      seen.trailing = status.metadata.getMap();
      setImmediate(() => resolve(seen));
    });
  });
}

const cases = {
  unary: () => unary(connect(), { response_size: 314159, payload: payload(271828) }, metadata()),

  // The gateway's own refusal, with google.rpc.Status in its trailers.
  refusal: () => unary(connect(), { response_size: 1 }, metadata({ 'x-road-purpose': 'P02' })),

  status: () => unary(connect(), { response_status: { code: 2, message: config.message } }, metadata()),

  metadata: () =>
    unary(
      connect(),
      { response_size: 1 },
      metadata({
        'x-grpc-test-echo-initial': 'test_initial_metadata_value',
        'x-grpc-test-echo-trailing-bin': Buffer.from([0xab, 0xab, 0xab]),
      }),
    ),

  gzip: () =>
    unary(
      connect({ 'grpc.default_compression_algorithm': grpc.compressionAlgorithms.gzip }),
      { response_size: 314159, payload: payload(271828) },
      metadata(),
    ),

  server_stream: () =>
    follow(
      connect().StreamingOutputCall(
        { response_parameters: sizes(31415, 9, 2653, 58979) },
        metadata(),
        patient,
      ),
    ),

  client_stream: () =>
    new Promise((resolve) => {
      const seen = {};
      const call = connect().StreamingInputCall(metadata(), patient, (error, response) => {
        if (error) Object.assign(seen, failed(error));
        else seen.sum = response.aggregated_payload_size;
      });
      call.on('status', (status) => setImmediate(() => resolve({ ...seen, code: status.code })));
      for (const size of [27182, 8, 1828, 45904]) call.write({ payload: payload(size) });
      call.end();
    }),

  bidi: () => {
    const asked = [31415, 9, 2653, 58979];
    const call = connect().FullDuplexCall(metadata(), patient);
    const ask = (number) => call.write({ response_parameters: sizes(asked[number]), payload: payload(8) });
    ask(0);
    return follow(call, (count) => (count < asked.length ? ask(count) : call.end()));
  },

  // The server sleeps before its second message, for longer than the client waits.
  deadline: () =>
    follow(
      connect().StreamingOutputCall(
        { response_parameters: [{ size: 1 }, { size: 1, interval_us: 2000000 }] },
        metadata(),
        deadline(1000),
      ),
    ),

  cancel: () => {
    const call = connect().FullDuplexCall(metadata(), patient);
    call.write({ response_parameters: sizes(7) });
    return follow(call, () => call.cancel());
  },
};

cases[wanted]().then((seen) => {
  process.stdout.write(
    JSON.stringify(seen, (name, value) => (value && value.type === 'Buffer' ? Buffer.from(value.data).toString('hex') : value)) + '\n',
    () => process.exit(0),
  );
});
