// Takes as long as it is asked to: /slow/<milliseconds>. Knows nothing of signals.
const http = require('http');

const server = http.createServer((request, response) => {
  const asked = request.url.match(/^\/slow\/(\d+)/);
  setTimeout(() => response.end('the end\n'), asked ? Number(asked[1]) : 0);
});
server.listen(8080);
module.exports = server;
