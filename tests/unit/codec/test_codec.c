/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Codecs: every message of the tables whole, cut in two at every byte, and byte by byte
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "conf/conf.h"
#include "codec/codec.h"
#include "wire/message.h"

#define BYTES(text) (text), sizeof(text) - 1

/* A request, and what is in the text of its refusal; NULL: it is taken */
struct request {
	const struct codec *codec;
	const char *bytes;
	size_t len;
	const char *refusal;
};

#define GOOD(codec, text)                                                                          \
	{                                                                                          \
		&codec, BYTES(text), NULL                                                          \
	}
#define BAD(codec, text, refusal)                                                                  \
	{                                                                                          \
		&codec, BYTES(text), refusal                                                       \
	}

static const struct request requests[] = {
	GOOD(codec_frame, "\0\0\0\0"),
	GOOD(codec_frame, "\0\0\0\3abc"),
	BAD(codec_frame, "\0\0\0", "not whole after 3 bytes"),
	BAD(codec_frame, "\0\0\0\3ab", "not whole"),
	BAD(codec_frame, "\0\0\0\3abcd", "more than one message"),
	BAD(codec_frame, "\0\x10\0\1", "a frame of 1048577 bytes, the limit is 1048576"),

	GOOD(codec_line, "\n"),
	GOOD(codec_line, "GET a\r\n"),
	GOOD(codec_line, "\0 and \xff\n"),
	BAD(codec_line, "", "not whole after 0 bytes"),
	BAD(codec_line, "GET a", "not whole after 5 bytes"),
	BAD(codec_line, "a\nb\n", "the first ends after 2 of 4 bytes"),
	BAD(codec_line, "a\nb", "more than one message"),

	GOOD(codec_udp, ""),
	GOOD(codec_udp, "anything"),

	GOOD(codec_resp, "*1\r\n$4\r\nPING\r\n"),
	GOOD(codec_resp, "*2\r\n$3\r\nGET\r\n$0\r\n\r\n"),
	GOOD(codec_resp, "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$4\r\n\r\n\r\n\r\n"),
	GOOD(codec_resp, "*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\nPING\r\n"),
	GOOD(codec_resp, "PING\r\n"),
	GOOD(codec_resp, "  SET a   \"b c\"\n"),
	GOOD(codec_resp, "MULTI\r\nSET a 1\r\nEXEC\r\n"),
	GOOD(codec_resp,
	     "*1\r\n$5\r\nmulti\r\n*2\r\n$4\r\nincr\r\n$1\r\na\r\n*1\r\n$4\r\nexec\r\n"),
	GOOD(codec_resp, "CLIENT LIST\r\n"),
	GOOD(codec_resp, "GET SELECT\r\n"),
	GOOD(codec_resp, "SELECTION\r\n"),
	BAD(codec_resp, "", "not whole"),
	BAD(codec_resp, "*1\r\n$4\r\nPING\r", "not whole"),
	BAD(codec_resp, "*1\r\n$4\r\nPING\r\n*1\r\n", "not whole"),
	BAD(codec_resp, "MULTI\r\nSET a 1\r\n", "MULTI without EXEC"),
	BAD(codec_resp, "\r\n", "empty inline"),
	BAD(codec_resp, "  \r\n", "empty inline"),
	BAD(codec_resp, "PING\r\r\n", "CR in the middle"),
	BAD(codec_resp, "PI\rNG\r\n", "CR in the middle"),
	BAD(codec_resp, "PI\0NG\r\n", "NUL"),
	BAD(codec_resp, "'SELECT' 5\r\n", "quotes"),
	BAD(codec_resp, "*0\r\n", "number of words"),
	BAD(codec_resp, "*-1\r\n", "number of words"),
	BAD(codec_resp, "*\r\n", "number of words"),
	BAD(codec_resp, "*01\r\n$4\r\nPING\r\n", "number of words"),
	BAD(codec_resp, "*+1\r\n$4\r\nPING\r\n", "number of words"),
	BAD(codec_resp, "*1048577\r\n", "number of words"),
	BAD(codec_resp, "*99999999999999999999\r\n", "number of words"),
	BAD(codec_resp, "*999999999999999999999\r\n", "more than 20 digits"),
	BAD(codec_resp, "*1\n$4\r\nPING\r\n", "number of words"),
	BAD(codec_resp, "*1\r$4\r\nPING\r\n", "CR without LF"),
	BAD(codec_resp, "*1\r\n+PING\r\n", "no bulk string"),
	BAD(codec_resp, "*1\r\n$-1\r\n", "bad length"),
	BAD(codec_resp, "*1\r\n$1048577\r\n", "bad length"),
	BAD(codec_resp, "*1\r\n$3\r\nPING\r\n", "longer than it says"),
	BAD(codec_resp, "*1\r\n$4\r\nPING\n\n", "longer than it says"),
	BAD(codec_resp, "*1\r\n$4\r\nPING\r\r", "longer than it says"),
	BAD(codec_resp, "SUBSCRIBE a\r\n", "command SUBSCRIBE"),
	BAD(codec_resp, "XREAD BLOCK 0 STREAMS s $\r\n", "command XREAD with BLOCK: it may wait"),
	BAD(codec_resp, "xread count 1 block 0 streams s $\r\n", "with BLOCK: it may wait"),
	BAD(codec_resp,
	    "*7\r\n$5\r\nXREAD\r\n$5\r\nCOUNT\r\n$1\r\n1\r\n$5\r\nBLOCK\r\n$1\r\n0\r\n"
	    "$7\r\nSTREAMS\r\n$1\r\ns\r\n",
	    "command XREAD with BLOCK: it may wait"),
	BAD(codec_resp, "XREADGROUP GROUP g c COUNT 1 BLOCK 0 NOACK STREAMS s >\r\n",
	    "command XREADGROUP with BLOCK: it may wait"),
	BAD(codec_resp, "MULTI\r\nXREADGROUP GROUP g c BLOCK 0 STREAMS s >\r\nEXEC\r\n",
	    "command XREADGROUP with BLOCK"),
	BAD(codec_resp, "XREAD COUNT 1 \"BLOCK\" 0 STREAMS s $\r\n", "quotes"),
	BAD(codec_resp, "CLIENT PAUSE 100000\r\n", "command CLIENT PAUSE"),
	BAD(codec_resp, "BZMPOP 0 1 z MIN\r\n", "command BZMPOP"),
	BAD(codec_resp, "WAITAOF 1 1 0\r\n", "command WAITAOF"),
	/* names of a group, of a consumer, of a stream are no options */
	GOOD(codec_resp, "XREADGROUP GROUP BLOCK block COUNT 1 STREAMS s >\r\n"),
	GOOD(codec_resp, "XREAD COUNT 1 STREAMS BLOCK \"0\"\r\n"),
	GOOD(codec_resp, "SET XREAD BLOCK\r\nXADD s * BLOCK 1\r\n"),
	BAD(codec_resp, "*1\r\n$7\r\nmonitor\r\n", "command MONITOR"),
	BAD(codec_resp, "*2\r\n$6\r\nsElEcT\r\n$1\r\n5\r\n", "command SELECT"),
	BAD(codec_resp, "PING\r\nhello 3\r\n", "command HELLO"),
	BAD(codec_resp, "client  reply off\r\n", "command CLIENT REPLY"),

	GOOD(codec_http, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
	GOOD(codec_http, "GET / HTTP/1.0\r\n\r\n"),
	GOOD(codec_http, "HEAD /a?b HTTP/1.1\r\nHost:a\r\nX-A:  b c \r\n\r\n"),
	GOOD(codec_http, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\na\nb\rc"),
	GOOD(codec_http, "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
			 "3\r\nabc\r\n1;x=y\r\n9\r\n0\r\n\r\n"),
	GOOD(codec_http, "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
			 "0\r\nX-Trailer: 1\r\n\r\n"),
	GOOD(codec_http, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
			 "Content-Length: 2\r\n\r\nhi"),
	GOOD(codec_http, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
	BAD(codec_http, "", "not whole"),
	BAD(codec_http, "GET / HTTP/1.1\r\nHost: a\r\n\r", "not whole"),
	BAD(codec_http, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcd", "not whole"),
	BAD(codec_http, "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
	    "not whole"),
	BAD(codec_http, "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
	    "more than one message"),
	BAD(codec_http, "GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n", "more than one message"),
	BAD(codec_http, "GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
	    "another protocol"),
	BAD(codec_http, "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", "another protocol"),
	BAD(codec_http, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ""),
	BAD(codec_http, "GET / HTTP/0.9\r\n\r\n", ""),
	BAD(codec_http, "GET /\r\n\r\n", ""),
	BAD(codec_http, "HTTP/1.1 200 OK\r\n\r\n", ""),
	BAD(codec_http, "hello\n", ""),
	BAD(codec_http, "\r\n\r\nGET / HTTP/1.1\r\n\r\n", "empty line"),
	BAD(codec_http, "\r\nGET / HTTP/1.1\r\n\r\n", "empty line"),

	/* what two readers could read in two ways */
	BAD(codec_http, "GET / HTTP/1.1\nHost: a\n\n", "CRLF"),
	BAD(codec_http, "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", "CRLF"),
	BAD(codec_http, "GET / HTTP/1.1\r\nHost: a\n\r\n", "CRLF"),
	BAD(codec_http, "GET / HTTP/1.1\r\nA: b\0c\r\n\r\n", "NUL"),
	BAD(codec_http, "GET / HTTP/1.1\r\nA: b\r\n c: d\r\n\r\n", "folded"),
	BAD(codec_http, "GET / HTTP/1.1\r\n Content-Length: 1\r\n\r\na", "folded"),
	BAD(codec_http, "POST / HTTP/1.1\r\nContent-Length : 1\r\n\r\na", "with a space"),
	BAD(codec_http, "POST / HTTP/1.1\r\nContent Length: 1\r\n\r\na", "with a space"),
	BAD(codec_http, "POST / HTTP/1.1\r\n: 1\r\n\r\na", "without a name"),
	BAD(codec_http, "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", ""),
	BAD(codec_http, "POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\na", ""),
	BAD(codec_http, "POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\na", ""),
	BAD(codec_http, "POST / HTTP/1.1\r\nContent-Length: 1 2\r\n\r\na", ""),
	BAD(codec_http, "POST / HTTP/1.1\r\nContent-Length: 0x1\r\n\r\na", ""),
	BAD(codec_http, "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", ""),
	BAD(codec_http,
	    "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "0\r\n\r\n",
	    ""),
	BAD(codec_http,
	    "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"
	    "0\r\n\r\n",
	    ""),
	BAD(codec_http, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
	    ""),
	BAD(codec_http, "POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", ""),
	BAD(codec_http,
	    "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n"
	    "\r\n0\r\n\r\n",
	    ""),
	BAD(codec_http, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	    "Transfer-Encoding in HTTP/1.0"),
	BAD(codec_http, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
	    ""),
	BAD(codec_http, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\n0\r\n\r\n",
	    ""),
	BAD(codec_http,
	    "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n"
	    "0\r\n\r\n",
	    ""),
	BAD(codec_http,
	    "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\na\r\n"
	    "0\r\n\r\n",
	    ""),
	BAD(codec_http,
	    "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "fffffffffffffffff\r\na\r\n0\r\n\r\n",
	    ""),
};

/* An answer to a request of the first table's kind; @from and @end if it is whole */
struct answer {
	const struct codec *codec;
	const char *request;
	size_t request_len;
	const char *bytes;
	size_t len;
	enum codec_result result;
	unsigned int from;
	unsigned int end;
	bool closed; /* the service then closes the connection */
	bool single; /* the connection is of no use afterwards */
};

#define PING     BYTES("PING\r\n")
#define THREE    BYTES("MULTI\r\nPING\r\nEXEC\r\n")
#define GET      BYTES("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
#define GET_LAST BYTES("GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
#define HEAD     BYTES("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
#define CONTINUE "HTTP/1.1 100 Continue\r\n\r\n"

static const struct answer answers[] = {
	{ &codec_frame, BYTES("\0\0\0\0"), BYTES("\0\0\0\2ok"), CODEC_DONE, 4, 6 },
	{ &codec_frame, BYTES("\0\0\0\0"), BYTES("\0\0\0\0"), CODEC_DONE, 4, 4 },
	{ &codec_frame, BYTES("\0\0\0\0"), BYTES("\0\0\0\2o"), CODEC_MORE },
	{ &codec_frame, BYTES("\0\0\0\0"), BYTES("\0\0\0\2o"), CODEC_BROKEN, .closed = true },
	{ &codec_frame, BYTES("\0\0\0\0"), BYTES("\0\0\0\2ok\0\0\0\1"), CODEC_DONE, 4, 6 },
	{ &codec_frame, BYTES("\0\0\0\0"), BYTES("\xff\xff\xff\xff"), CODEC_TOO_LONG },

	{ &codec_line, BYTES("a\n"), BYTES("b\n"), CODEC_DONE, 0, 2 },
	{ &codec_line, BYTES("a\n"), BYTES("b\nc\n"), CODEC_DONE, 0, 2 },
	{ &codec_line, BYTES("a\n"), BYTES("b"), CODEC_MORE },
	{ &codec_line, BYTES("a\n"), BYTES("b"), CODEC_BROKEN, .closed = true },

	{ &codec_resp, PING, BYTES("+PONG\r\n"), CODEC_DONE, 0, 7 },
	{ &codec_resp, PING, BYTES("-ERR no\r\n"), CODEC_DONE, 0, 9 },
	{ &codec_resp, PING, BYTES("+a\rb\r\r\n"), CODEC_DONE, 0, 7 },
	{ &codec_resp, PING, BYTES("+a\nb\r\n"), CODEC_DONE, 0, 6 },
	{ &codec_resp, PING, BYTES(":-9223372036854775808\r\n"), CODEC_DONE, 0, 23 },
	{ &codec_resp, PING, BYTES(":0\r\n"), CODEC_DONE, 0, 4 },
	{ &codec_resp, PING, BYTES(":9223372036854775808\r\n"), CODEC_BROKEN },
	{ &codec_resp, PING, BYTES(":\r\n"), CODEC_BROKEN },
	{ &codec_resp, PING, BYTES(":-\r\n"), CODEC_BROKEN },
	{ &codec_resp, PING, BYTES(":1a\r\n"), CODEC_BROKEN },
	{ &codec_resp, PING, BYTES("$-1\r\n"), CODEC_DONE, 0, 5 },
	{ &codec_resp, PING, BYTES("$0\r\n\r\n"), CODEC_DONE, 0, 6 },
	{ &codec_resp, PING, BYTES("$2\r\n\r\n\r\n"), CODEC_DONE, 0, 8 },
	{ &codec_resp, PING, BYTES("$2\r\nabc\r\n"), CODEC_BROKEN },
	{ &codec_resp, PING, BYTES("$-2\r\n"), CODEC_BROKEN },
	{ &codec_resp, PING, BYTES("$1048577\r\n"), CODEC_TOO_LONG },
	{ &codec_resp, PING, BYTES("*-1\r\n"), CODEC_DONE, 0, 5 },
	{ &codec_resp, PING, BYTES("*0\r\n"), CODEC_DONE, 0, 4 },
	{ &codec_resp, PING, BYTES("*2\r\n*1\r\n:1\r\n*2\r\n$1\r\na\r\n*0\r\n"), CODEC_DONE, 0,
	  27 },
	{ &codec_resp, PING, BYTES("*2\r\n*1\r\n:1\r\n"), CODEC_MORE },
	{ &codec_resp, PING, BYTES("*1048577\r\n"), CODEC_TOO_LONG },
	{ &codec_resp, PING, BYTES("+PONG\r\n+PONG\r\n"), CODEC_DONE, 0, 7 },
	/* RESP3 */
	{ &codec_resp, PING, BYTES("%1\r\n+a\r\n+b\r\n"), CODEC_DONE, 0, 12 },
	{ &codec_resp, PING, BYTES("%0\r\n"), CODEC_DONE, 0, 4 },
	{ &codec_resp, PING, BYTES("%1\r\n+a\r\n"), CODEC_MORE },
	{ &codec_resp, PING, BYTES("~2\r\n#t\r\n#f\r\n"), CODEC_DONE, 0, 12 },
	{ &codec_resp, PING, BYTES("_\r\n"), CODEC_DONE, 0, 3 },
	{ &codec_resp, PING, BYTES(",-1.5e+10\r\n"), CODEC_DONE, 0, 11 },
	{ &codec_resp, PING, BYTES(",inf\r\n"), CODEC_DONE, 0, 6 },
	{ &codec_resp, PING, BYTES("(-3492890328409238509324850943850943825024385\r\n"), CODEC_DONE,
	  0, 47 },
	{ &codec_resp, PING, BYTES("=6\r\ntxt:hi\r\n"), CODEC_DONE, 0, 12 },
	{ &codec_resp, PING, BYTES("!5\r\nERR x\r\n"), CODEC_DONE, 0, 11 },
	/* a push and an attribute are no answers, but go with the one behind them */
	{ &codec_resp, PING, BYTES(">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n"), CODEC_MORE },
	{ &codec_resp, PING, BYTES(">1\r\n+a\r\n+PONG\r\n"), CODEC_DONE, 0, 15 },
	{ &codec_resp, PING, BYTES(">0\r\n+PONG\r\n"), CODEC_DONE, 0, 11 },
	{ &codec_resp, PING, BYTES("|1\r\n+ttl\r\n:9\r\n+PONG\r\n"), CODEC_DONE, 0, 21 },
	{ &codec_resp, PING, BYTES("*2\r\n|1\r\n+ttl\r\n:9\r\n:1\r\n:2\r\n"), CODEC_DONE, 0, 26 },
	{ &codec_resp, PING, BYTES("*1\r\n>1\r\n+a\r\n"), CODEC_BROKEN },
	{ &codec_resp, PING, BYTES("_a\r\n"), CODEC_BROKEN },
	{ &codec_resp, PING, BYTES("#\r\n"), CODEC_BROKEN },
	{ &codec_resp, PING, BYTES("#tf\r\n"), CODEC_BROKEN },
	{ &codec_resp, PING, BYTES("#x\r\n"), CODEC_BROKEN },
	{ &codec_resp, PING, BYTES("#t\rf"), CODEC_BROKEN },
	{ &codec_resp, PING, BYTES(",x\r\n"), CODEC_BROKEN },
	{ &codec_resp, PING, BYTES(",\r\n"), CODEC_BROKEN },
	{ &codec_resp, PING, BYTES("(1-\r\n"), CODEC_BROKEN },
	{ &codec_resp, PING, BYTES("%-1\r\n"), CODEC_BROKEN },
	{ &codec_resp, PING, BYTES("!-1\r\n"), CODEC_BROKEN },
	{ &codec_resp, PING, BYTES("*?\r\n"), CODEC_BROKEN },
	{ &codec_resp, PING, BYTES("%1048577\r\n"), CODEC_TOO_LONG },
	{ &codec_resp, PING, BYTES("+PON"), CODEC_BROKEN, .closed = true },
	{ &codec_resp, THREE, BYTES("+OK\r\n+QUEUED\r\n"), CODEC_MORE },
	{ &codec_resp, THREE, BYTES("+OK\r\n+QUEUED\r\n*1\r\n+PONG\r\n"), CODEC_DONE, 0, 25 },

	{ &codec_http, GET, BYTES("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"), CODEC_DONE, 0,
	  40 },
	{ &codec_http, GET, BYTES("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi!"), CODEC_DONE, 0,
	  40 },
	{ &codec_http, GET, BYTES("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh"), CODEC_MORE },
	{ &codec_http, GET, BYTES("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh"), CODEC_BROKEN,
	  .closed = true },
	{ &codec_http, GET,
	  BYTES("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		"2\r\nhi\r\n0\r\n\r\n"),
	  CODEC_DONE, 0, 59 },
	{ &codec_http, GET,
	  BYTES("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		"2\r\nhi\r\n0\r\n"),
	  CODEC_BROKEN, .closed = true },
	{ &codec_http, GET, BYTES("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"),
	  CODEC_DONE, 0, 46 },
	{ &codec_http, GET, BYTES("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
	  CODEC_DONE, 0, 48 },
	{ &codec_http, GET,
	  BYTES("HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"), CODEC_DONE, 0,
	  57 },
	{ &codec_http, HEAD, BYTES("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), CODEC_DONE, 0,
	  38 },
	{ &codec_http, HEAD, BYTES("HTTP/1.1 200 OK\r\n\r\n"), CODEC_DONE, 0, 19 },
	{ &codec_http, GET, BYTES(CONTINUE "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
	  CODEC_DONE, 25, 65 },
	{ &codec_http, GET,
	  BYTES("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" CONTINUE
		"HTTP/1.1 204 No Content\r\n\r\n"),
	  CODEC_DONE, 62, 89 },
	{ &codec_http, GET, BYTES(CONTINUE), CODEC_MORE },
	{ &codec_http, GET, BYTES(CONTINUE), CODEC_BROKEN, .closed = true },
	{ &codec_http, GET, BYTES("HTTP/1.1 200 OK\r\n\r\nall of it"), CODEC_MORE },
	{ &codec_http, GET, BYTES("HTTP/1.1 200 OK\r\n\r\nall of it"), CODEC_DONE, 0, 28,
	  .closed = true, .single = true },
	{ &codec_http, GET, BYTES("HTTP/1.1 200 OK\r\n\r\n"), CODEC_DONE, 0, 19, .closed = true,
	  .single = true },
	{ &codec_http, GET, BYTES(CONTINUE "HTTP/1.0 200 OK\r\n\r\nall"), CODEC_DONE, 25, 47,
	  .closed = true, .single = true },
	{ &codec_http, GET, BYTES("HTTP/1.1 200 OK\r\n"), CODEC_BROKEN, .closed = true },
	{ &codec_http, GET, BYTES(""), CODEC_BROKEN, .closed = true },
	{ &codec_http, GET,
	  BYTES("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"), CODEC_DONE, 0,
	  57, .single = true },
	{ &codec_http, GET_LAST, BYTES("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), CODEC_DONE,
	  0, 38, .single = true },
	{ &codec_http, GET, BYTES("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"), CODEC_DONE, 0,
	  38, .single = true },
	{ &codec_http, GET,
	  BYTES("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n"
		"Connection: Upgrade\r\n\r\n"),
	  CODEC_BROKEN },
	{ &codec_http, GET, BYTES("GET / HTTP/1.1\r\n\r\n"), CODEC_BROKEN },
	{ &codec_http, GET, BYTES("HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"), CODEC_BROKEN },
	{ &codec_http, GET, BYTES("HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"), CODEC_BROKEN },
	{ &codec_http, GET, BYTES("\r\nHTTP/1.1 204 No\r\n\r\n"), CODEC_BROKEN },
	{ &codec_http, GET, BYTES(CONTINUE "\r\nHTTP/1.1 204 No\r\n\r\n"), CODEC_BROKEN },
	{ &codec_http, GET, BYTES("rubbish"), CODEC_BROKEN },
};

static struct codec_exchange *exchange(const struct codec *codec)
{
	struct codec_exchange *x = NULL;

	assert_int_equal(codec_exchange_new(&x, codec, NULL, NULL), 0);
	return x;
}

static bool is_refusal(enum codec_result r)
{
	return r == CODEC_BROKEN || r == CODEC_TOO_LONG;
}

/* Both refused, or both the same */
static void same(enum codec_result a, enum codec_result b, const char *bytes, size_t cut)
{
	if (a == b || (is_refusal(a) && is_refusal(b)))
		return;
	fail_msg("result %d, but %d when cut at byte %zu: %s", a, b, cut, bytes);
}

static void test_requests(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		const struct request *q = &requests[i];
		struct err err = { 0 };

		AUTO(codec_exchange) struct codec_exchange *x = exchange(q->codec);
		int r = codec_request_whole(x, q->bytes, q->len, &err);
		if ((r == 0) != !q->refusal)
			fail_msg("%s: %d %s: %s", q->codec->name, r, err.text, q->bytes);
		if (r == 0)
			continue;
		assert_true(r == -EPROTO || r == -EMSGSIZE);
		assert_non_null(strstr(err.text, q->codec->name));
		const char *reason = q->refusal ? q->refusal : "";
		if (!strstr(err.text, reason))
			fail_msg("%s: wanted \"%s\": %s", q->bytes, reason, err.text);
	}
}

static void test_requests_in_pieces(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		const struct request *q = &requests[i];

		if (q->codec->datagram || !q->len)
			continue;
		AUTO(codec_exchange) struct codec_exchange *x = exchange(q->codec);
		enum codec_result whole = codec_request(x, q->bytes, q->len);
		size_t end = x->end;
		for (size_t cut = 1; cut < q->len; cut++) {
			codec_exchange_reset(x);
			(void)codec_request(x, q->bytes, cut);
			same(whole, codec_request(x, q->bytes + cut, q->len - cut), q->bytes, cut);
			assert_true(whole != CODEC_DONE || x->end == end);
		}
		codec_exchange_reset(x);
		for (size_t at = 0; at < q->len; at++)
			(void)codec_request(x, q->bytes + at, 1);
		same(whole, x->result, q->bytes, 0);
	}
}

/* Reads an answer in pieces of @first bytes and then of @then bytes. */
static void answer_in(struct codec_exchange *x, const struct answer *a, size_t first, size_t then)
{
	size_t at = 0;
	size_t n = first;

	codec_exchange_reset(x);
	assert_int_equal(codec_request_whole(x, a->request, a->request_len, NULL), 0);
	for (; at < a->len; at += n, n = then) {
		if (n > a->len - at)
			n = a->len - at;
		(void)codec_answer(x, a->bytes + at, n);
	}
	if (a->closed)
		(void)codec_answer_closed(x);
}

static void test_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		const struct answer *a = &answers[i];

		AUTO(codec_exchange) struct codec_exchange *x = exchange(a->codec);
		for (size_t cut = 0; cut <= a->len; cut++) {
			/* at last byte by byte */
			size_t first = cut == a->len ? 1 : cut ? cut : a->len;

			answer_in(x, a, first, cut == a->len ? 1 : a->len);
			if (x->result != a->result && !(is_refusal(a->result) && cut))
				fail_msg("%s, cut at %zu: %d %s: %s", a->codec->name, cut,
					 x->result, x->reason, a->bytes);
			same(a->result, x->result, a->bytes, cut);
			if (x->result == CODEC_DONE) {
				assert_int_equal(x->from, a->from);
				assert_int_equal(x->end, a->end);
				assert_int_equal(x->keep, !a->single);
			}
			if (is_refusal(x->result))
				assert_true(x->reason[0]);
		}
	}
}

/* --- limits (R9) ------------------------------------------------------------------------------- */

static void test_longest_line(void **state)
{
	char *text = malloc(WIRE_PAYLOAD_MAX + 1);
	struct err err;

	(void)state;
	assert_non_null(text);
	memset(text, 'a', WIRE_PAYLOAD_MAX + 1);
	AUTO(codec_exchange) struct codec_exchange *x = exchange(&codec_line);
	assert_int_equal(codec_request(x, text, WIRE_PAYLOAD_MAX), CODEC_MORE);
	assert_int_equal(codec_request(x, text, 1), CODEC_TOO_LONG);
	assert_int_equal(codec_request(x, "\n", 1), CODEC_TOO_LONG);

	codec_exchange_reset(x);
	text[WIRE_PAYLOAD_MAX - 1] = '\n';
	assert_int_equal(codec_request_whole(x, text, WIRE_PAYLOAD_MAX, &err), 0);
	assert_int_equal(codec_answer(x, text, WIRE_PAYLOAD_MAX), CODEC_DONE);

	codec_exchange_reset(x);
	text[WIRE_PAYLOAD_MAX - 1] = 'a';
	text[WIRE_PAYLOAD_MAX] = '\n';
	assert_int_equal(codec_request_whole(x, text, WIRE_PAYLOAD_MAX + 1, &err), -EMSGSIZE);
	free(text);
}

static void test_longest_datagram(void **state)
{
	static const char bytes[CODEC_DATAGRAM_MAX + 1];

	(void)state;
	AUTO(codec_exchange) struct codec_exchange *x = exchange(&codec_udp);
	assert_int_equal(codec_request_whole(x, bytes, CODEC_DATAGRAM_MAX, NULL), 0);
	assert_int_equal(codec_answer(x, bytes, CODEC_DATAGRAM_MAX), CODEC_DONE);
	codec_exchange_reset(x);
	assert_int_equal(codec_request_whole(x, bytes, CODEC_DATAGRAM_MAX + 1, NULL), -EMSGSIZE);
}

static void test_deepest_array(void **state)
{
	(void)state;
	for (int depth = CODEC_RESP_DEPTH; depth <= CODEC_RESP_DEPTH + 1; depth++) {
		AUTO(codec_exchange) struct codec_exchange *x = exchange(&codec_resp);
		enum codec_result r = CODEC_MORE;

		assert_int_equal(codec_request_whole(x, PING, NULL), 0);
		for (int i = 0; i < depth; i++)
			r = codec_answer(x, "*1\r\n", 4);
		assert_int_equal(r, depth > CODEC_RESP_DEPTH ? CODEC_TOO_LONG : CODEC_MORE);
		if (r == CODEC_MORE)
			assert_int_equal(codec_answer(x, ":1\r\n", 4), CODEC_DONE);
	}
}

/* A head of exactly @size bytes */
static size_t head_of(char *to, const char *first, size_t size)
{
	size_t n = (size_t)sprintf(to, "%s\r\nContent-Length: 0\r\nX: ", first);

	memset(to + n, 'a', size - n - 4);
	memcpy(to + size - 4, "\r\n\r\n", 4);
	return size;
}

/* The headers must end within the limit, however they are cut. */
static void test_longest_head(void **state)
{
	static char bytes[CODEC_HTTP_HEAD + 1];
	static const size_t pieces[] = { 1, 7, 4096, CODEC_HTTP_HEAD, sizeof(bytes) };
	struct answer a = { &codec_http, GET, bytes, 0 };

	(void)state;
	AUTO(codec_exchange) struct codec_exchange *x = exchange(&codec_http);
	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		a.len = head_of(bytes, "HTTP/1.1 200 OK", CODEC_HTTP_HEAD);
		answer_in(x, &a, pieces[i], pieces[i]);
		assert_int_equal(x->result, CODEC_DONE);
		a.len = head_of(bytes, "HTTP/1.1 200 OK", CODEC_HTTP_HEAD + 1);
		answer_in(x, &a, pieces[i], pieces[i]);
		assert_int_equal(x->result, CODEC_TOO_LONG);
	}
	codec_exchange_reset(x);
	a.len = head_of(bytes, "GET / HTTP/1.1", CODEC_HTTP_HEAD);
	assert_int_equal(codec_request_whole(x, bytes, a.len, NULL), 0);
	codec_exchange_reset(x);
	a.len = head_of(bytes, "GET / HTTP/1.1", CODEC_HTTP_HEAD + 1);
	assert_int_equal(codec_request_whole(x, bytes, a.len, NULL), -EMSGSIZE);
}

static void test_interim_answers(void **state)
{
	(void)state;
	AUTO(codec_exchange) struct codec_exchange *x = exchange(&codec_http);
	assert_int_equal(codec_request_whole(x, GET, NULL), 0);
	for (int i = 0; i < CODEC_HTTP_INTERIM; i++)
		assert_int_equal(codec_answer(x, BYTES(CONTINUE)), CODEC_MORE);
	assert_int_equal(codec_answer(x, BYTES(CONTINUE)), CODEC_TOO_LONG);
}

static void test_longest_body(void **state)
{
	static char body[WIRE_PAYLOAD_MAX];

	(void)state;
	AUTO(codec_exchange) struct codec_exchange *x = exchange(&codec_http);
	assert_int_equal(codec_request_whole(x, GET, NULL), 0);
	assert_int_equal(codec_answer(x, BYTES("HTTP/1.1 200 OK\r\n\r\n")), CODEC_MORE);
	assert_int_equal(codec_answer(x, body, sizeof(body) - 19), CODEC_MORE);
	assert_int_equal(codec_answer(x, body, 1), CODEC_TOO_LONG);
}

/* --- names ------------------------------------------------------------------------------------- */

/* The catalogue takes exactly the codecs there are. */
/* What may go in parts has another limit; one that will be longer is refused as soon as it says so. */
static void test_long_messages(void **state)
{
	static const char head[] = "POST / HTTP/1.1\r\nContent-Length: %llu\r\n\r\n";
	AUTO(codec_exchange) struct codec_exchange *x = NULL;
	char text[80];

	(void)state;
	assert_int_equal(codec_exchange_new(&x, &codec_http, NULL, NULL), 0);
	assert_int_equal(codec_limit(x), WIRE_PAYLOAD_MAX);
	(void)snprintf(text, sizeof(text), head, 1ull + WIRE_PAYLOAD_MAX);
	assert_int_equal(codec_request(x, text, strlen(text)), CODEC_TOO_LONG);
	codec_exchange_reset(x);
	x->own = true;
	assert_true(codec_limit(x) == CODEC_MESSAGE_MAX);
	assert_int_equal(codec_request(x, text, strlen(text)), CODEC_MORE);
	codec_exchange_reset(x);
	x->own = true;
	(void)snprintf(text, sizeof(text), head, 1 + CODEC_MESSAGE_MAX);
	assert_int_equal(codec_request(x, text, strlen(text)), CODEC_TOO_LONG);
	x = codec_exchange_free(x);
	assert_int_equal(codec_exchange_new(&x, &codec_line, NULL, NULL), 0);
	x->own = true;
	assert_int_equal(codec_limit(x), WIRE_PAYLOAD_MAX);
}

/* R5: the digest of an answer that a user may get from both containers */
static uint64_t digest_in_parts(const char *answer)
{
	AUTO(codec_exchange) struct codec_exchange *x = NULL;

	assert_int_equal(codec_exchange_new(&x, &codec_http, NULL, NULL), 0);
	assert_int_equal(codec_request(x, "GET / HTTP/1.1\r\n\r\n", 18), CODEC_DONE);
	assert_int_equal(codec_answer(x, answer, strlen(answer)), CODEC_DONE);
	return codec_answer_digest_segments(x);
}

/** digest_of() - Digest of an answer to a command of a user's own connection */
static uint64_t digest_of(const char *command, const char *answer)
{
	struct codec_exchange *made = NULL;

	assert_int_equal(codec_exchange_new(&made, &codec_resp, NULL, NULL), 0);
	AUTO(codec_exchange) struct codec_exchange *x = made;
	x->own = true;
	x->first = true;
	assert_int_equal(codec_request(x, command, strlen(command)), CODEC_DONE);
	assert_int_equal(codec_answer(x, answer, strlen(answer)), CODEC_DONE);
	assert_int_equal(x->end, strlen(answer));
	return codec_answer_digest(x, answer, strlen(answer));
}

/* R5: a push comes when it likes, and HELLO tells the number of a connection; neither is compared. */
static void test_digest_of_resp3(void **state)
{
	(void)state;
	assert_int_equal(digest_of("GET a\r\n", "+a\r\n"),
			 digest_of("GET a\r\n", ">1\r\n+b\r\n+a\r\n"));
	assert_int_not_equal(digest_of("GET a\r\n", "+a\r\n"), digest_of("GET a\r\n", "+b\r\n"));
	assert_int_equal(digest_of("HELLO 3\r\n", "%1\r\n+id\r\n:1\r\n"),
			 digest_of("HELLO 3\r\n", "%1\r\n+id\r\n:2\r\n"));
}

static void test_digest_of_parts(void **state)
{
#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
	const uint64_t first =
		digest_in_parts(CHUNKED "Date: 1\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n");

	(void)state;
	/* the time may differ; what lies at another place, or is cut otherwise, does */
	assert_true(first ==
		    digest_in_parts(CHUNKED "Date: 2\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"));
	assert_true(first !=
		    digest_in_parts(CHUNKED "Date: 11\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"));
	assert_true(first !=
		    digest_in_parts(CHUNKED "Date: 1\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"));
	assert_true(first !=
		    digest_in_parts(CHUNKED "Date: 1\r\n\r\n2\r\nab\r\n1\r\nx\r\n0\r\n\r\n"));
#undef CHUNKED
}

/* What comes before the answer is not the user's, and known not to be while the answer goes on. */
static void test_from_is_known_early(void **state)
{
	static const char interim[] = "HTTP/1.1 102 Processing\r\n\r\n";
	AUTO(codec_exchange) struct codec_exchange *x = NULL;

	(void)state;
	assert_int_equal(codec_exchange_new(&x, &codec_http, NULL, NULL), 0);
	assert_int_equal(codec_request(x, "GET / HTTP/1.1\r\n\r\n", 18), CODEC_DONE);
	assert_int_equal(codec_answer(x, interim, strlen(interim)), CODEC_MORE);
	assert_int_equal(codec_answer(x, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", 40),
			 CODEC_MORE);
	assert_int_equal(x->from, strlen(interim));
}

static void test_names(void **state)
{
	(void)state;
	for (int i = 0; i < CONF_CODECS; i++) {
		const char *name = conf_codec_name((enum conf_codec)i);
		const struct codec *codec = codec_find(name);

		assert_non_null(codec);
		assert_string_equal(codec->name, name);
		assert_int_equal(codec->datagram, i == CONF_CODEC_UDP);
	}
	assert_null(codec_find("unknown"));
	assert_null(codec_find(""));
}

static void test_unknown(void **state)
{
	struct err err;

	(void)state;
	AUTO(codec_exchange) struct codec_exchange *x = exchange(&codec_unknown);
	assert_int_equal(codec_request_whole(x, "a", 1, &err), -EPROTO);
	assert_non_null(strstr(err.text, "not in the catalogue"));
	codec_exchange_reset(x);
	assert_int_equal(codec_request_whole(x, "", 0, &err), -EPROTO);
}

/* --- what listeners for ordinary clients ask ---------------------------------------------------- */

static int note_of(const struct codec *codec, const char *request)
{
	AUTO(codec_exchange) struct codec_exchange *x = NULL;

	assert_int_equal(codec_exchange_new(&x, codec, NULL, NULL), 0);
	assert_int_equal(codec_request(x, request, strlen(request)), CODEC_DONE);
	return x->note;
}

static void test_last(void **state)
{
	static const struct {
		const struct codec *codec;
		const char *request;
		const char *answer;
		bool last;
	} cases[] = {
		{ &codec_line, "x\n", "y\n", false },
		{ &codec_resp, "PING\r\n", "+OK\r\n", false },
		{ &codec_resp, "QUIT\r\n", "+OK\r\n", true },
		{ &codec_http, "GET / HTTP/1.1\r\n\r\n",
		  "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", false },
		{ &codec_http, "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
		  "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", true },
		{ &codec_http, "GET / HTTP/1.0\r\n\r\n",
		  "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", true },
		{ &codec_http, "GET / HTTP/1.1\r\n\r\n",
		  "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", true },
		{ &codec_http, "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\nx", true },
		{ &codec_http, "GET / HTTP/1.1\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\nx", true },
		{ &codec_http, "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 304 Not Modified\r\n\r\n",
		  false },
		{ &codec_http, "HEAD / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", false },
		{ &codec_http, "GET / HTTP/1.1\r\n\r\n",
		  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int note = note_of(cases[i].codec, cases[i].request);

		if (codec_answer_last(cases[i].codec, note, cases[i].answer,
				      strlen(cases[i].answer)) != cases[i].last)
			fail_msg("%s %s", cases[i].request, cases[i].answer);
	}
}

static void test_refusal_texts(void **state)
{
	char text[CODEC_REFUSAL_SIZE + 1] = "";

	(void)state;
	assert_int_equal(
		codec_refusal(&codec_line, text, CODEC_REFUSAL_SIZE, CODEC_REFUSAL_BROKEN, "why"),
		0);
	size_t n = codec_refusal(&codec_resp, text, CODEC_REFUSAL_SIZE, CODEC_REFUSAL_BROKEN,
				 "two\r\nlines");
	assert_int_equal(n, strlen(text));
	assert_string_equal(text,
			    "-ERR two  lines\r\n"); /* what comes from elsewhere ends no line */
	n = codec_refusal(&codec_http, text, CODEC_REFUSAL_SIZE, CODEC_REFUSAL_DOUBT, "why");
	assert_int_equal(n, strlen(text));
	assert_non_null(strstr(text, "HTTP/1.1 502 "));
	assert_non_null(strstr(text, "Content-Length: 4\r\n"));
}

/* A client says that it waits before its body, however its bytes are cut */
static void test_prompt(void **state)
{
	static const char head[] = "PUT / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 1"
				   "\r\n\r\n";
	AUTO(codec_exchange) struct codec_exchange *x = NULL;

	(void)state;
	assert_int_equal(codec_exchange_new(&x, &codec_http, NULL, NULL), 0);
	for (size_t i = 0; i + 1 < sizeof(head); i++) {
		assert_null(x->prompt);
		assert_int_equal(codec_request(x, head + i, 1), CODEC_MORE);
	}
	assert_string_equal(x->prompt, "HTTP/1.1 100 Continue\r\n\r\n");
	assert_int_equal(codec_request(x, "x", 1), CODEC_DONE);
	assert_null(x->prompt);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),         cmocka_unit_test(test_requests_in_pieces),
		cmocka_unit_test(test_answers),          cmocka_unit_test(test_longest_line),
		cmocka_unit_test(test_longest_datagram), cmocka_unit_test(test_deepest_array),
		cmocka_unit_test(test_longest_head),     cmocka_unit_test(test_interim_answers),
		cmocka_unit_test(test_longest_body),     cmocka_unit_test(test_names),
		cmocka_unit_test(test_long_messages),    cmocka_unit_test(test_digest_of_parts),
		cmocka_unit_test(test_digest_of_resp3),  cmocka_unit_test(test_from_is_known_early),
		cmocka_unit_test(test_unknown),          cmocka_unit_test(test_last),
		cmocka_unit_test(test_refusal_texts),    cmocka_unit_test(test_prompt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
