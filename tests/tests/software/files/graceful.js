// The same, closed on SIGTERM as Node's documentation shows it.
const server = require('./server.js');

process.on('SIGTERM', () => server.close());
