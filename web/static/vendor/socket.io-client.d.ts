// Types of the vendored socket.io-client 4.8.4, so that its minified text is not checked.
export * from "socket.io-client";
